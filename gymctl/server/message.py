"""A request and its reply, free of any transport: over HTTP or within one process they are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gymctl.errors import GymctlError

JSON = "application/json"

# Remaining time for a call in milliseconds. Relative, as gRPC's is, so that no two clocks have to agree.
DEADLINE_HEADER = "x-gym-timeout-ms"
# On a 503: the server is leaving and has not looked at the request, which may go to another one as if never sent.
NOT_TAKEN_HEADER = "x-gym-not-taken"


@dataclass(slots=True)
class Call:
    """One request. ``deadline`` is a point on ``time.monotonic()``'s scale, or None.

    ``place`` is the address of ours that the caller dialled; empty within one process.
    """

    path: str
    body: bytes = b""
    method: str = "POST"
    cookies: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()
    place: str = ""

    def header(self, name: str) -> str | None:
        """The first header of that (lower-case) name."""
        wanted = name.encode("latin-1")
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)


@dataclass(slots=True)
class Reply:
    """One answer. ``cookies`` are those to set; header names are lower-case."""

    status: int = 200
    body: bytes = b""
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = JSON

    def json(self) -> Any:
        """The body parsed.

        Raises:
            ValueError: it is not JSON.
        """
        return orjson.loads(self.body)


def json_reply(value: Any, status: int = 200) -> Reply:
    """A reply whose body is ``value`` as JSON."""
    return Reply(status, orjson.dumps(value))


class RefusedError(GymctlError):
    """A request that is wrong in itself: a server answers it with 422 in FastAPI's shape, and nobody tries it again."""

    def __init__(self, place: Sequence[str | int], message: str, kind: str = "value_error") -> None:
        super().__init__(f"{'.'.join(str(part) for part in place) or 'body'}: {message}")
        self.place = tuple(place)
        self.detail = {"type": kind, "loc": ["body", *place], "msg": message}

    def reply(self) -> Reply:
        """The 422."""
        return json_reply({"detail": [self.detail]}, 422)


def json_object(body: bytes) -> dict[str, Any]:
    """A request's body parsed.

    Raises:
        RefusedError: it is not a JSON object.
    """
    try:
        value = orjson.loads(body)
    except ValueError as error:
        raise RefusedError((), f"JSON decode error: {error}", "json_invalid") from error
    if not isinstance(value, dict):
        raise RefusedError((), "Input should be an object", "dict_type")
    return value
