"""What agents are asked: rows and create params, read and checked as NeMo Gym's own agents do."""

from __future__ import annotations

from typing import Any

from gymctl.config import exact_json
from gymctl.config.upstream import CREATE_PARAMS
from gymctl.server.message import Call, Reply, json_reply


def read_row(call: Call) -> tuple[dict[str, Any], Reply | None]:
    """The row of a ``/run`` request, or the 422 that describes the problem (in FastAPI's format)."""
    row, problem = _read_json(call)
    if problem is not None:
        return {}, problem
    if isinstance(row, dict):
        params = row.get("responses_create_params")
    else:
        params = None
    if not isinstance(params, dict):
        return {}, _unprocessable("missing", ["responses_create_params"], "Field required")
    return row, _unknown_params(params, ["responses_create_params"])


def read_params(call: Call) -> tuple[dict[str, Any], Reply | None]:
    """The create params of a ``/v1/responses`` request, or the 422 that describes the problem."""
    params, problem = _read_json(call)
    if problem is not None:
        return {}, problem
    if not isinstance(params, dict):
        return {}, _unprocessable("dict_type", [], "Input should be a valid dictionary")
    return params, _unknown_params(params, [])


def _read_json(call: Call) -> tuple[Any, Reply | None]:
    """The body of a request, or the 422 with the position of the JSON error."""
    try:
        return exact_json.loads(call.body), None
    except ValueError as error:
        explanation = exact_json.explain(call.body) or str(error)
        return None, _unprocessable("json_invalid", [], f"JSON decode error: {explanation}")


def _unknown_params(params: dict[str, Any], place: list[str]) -> Reply | None:
    """The 422 for a key that is not one of NeMo Gym's create params; ``place`` is where they are in the body."""
    unknown = sorted(params.keys() - CREATE_PARAMS)
    if not unknown:
        return None
    return _unprocessable("extra_forbidden", [*place, unknown[0]], "Extra inputs are not permitted")


def _unprocessable(kind: str, path: list[str], text: str) -> Reply:
    return json_reply({"detail": [{"type": kind, "loc": ["body", *path], "msg": text}]}, 422)
