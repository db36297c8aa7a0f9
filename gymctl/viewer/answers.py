"""Answers to the page: JSON, errors as JSON, and lines of JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gymctl.errors import GymctlError, InputError
from gymctl.results.payload import encode
from gymctl.viewer.live import Position
from gymctl.viewer.runs import Run

NO_STORE = {"cache-control": "no-store"}


def answers_json(work: Callable[[Any, Request], Awaitable[Any]]) -> Callable[[Any, Request], Awaitable[Response]]:
    """Have a method's value, or its error, sent as JSON."""

    @wraps(work)
    async def answer(page: Any, request: Request) -> Response:
        """The answer as JSON: 400 for invalid parameters, 503 for what cannot be read now."""
        try:
            return json_response(await work(page, request))
        except InputError as error:
            return json_response({"error": str(error)}, 400)
        except GymctlError as error:
            return json_response({"error": str(error)}, 503)

    return answer


def json_response(value: Any, status: int = 200) -> Response:
    """A value as JSON that is not stored."""
    return Response(encode(value), status, media_type="application/json", headers=NO_STORE)


def run_json(run: Run) -> dict[str, Any]:
    """What names a run."""
    return {"id": run.id, "label": run.label, "path": str(run.path)}


def position_json(position: Position) -> dict[str, Any]:
    """How far a run is indexed."""
    return {
        "last_id": position.last_id,
        "indexed": position.indexed,
        "size": position.size,
        "restarts": position.restarts,
        "problem": position.problem,
    }


def ndjson(batches: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """A line of JSON for each batch; an error is the last one."""
    try:
        for batch in batches:
            yield encode(batch) + b"\n"
    except GymctlError as error:
        yield encode({"hits": [], "done": True, "all": False, "error": str(error)}) + b"\n"
