"""A request and its reply, free of any transport: over HTTP or within one process they are the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gymctl.config import exact_json
from gymctl.errors import GymctlError

if TYPE_CHECKING:
    from gymctl.server.span_header import RequestSpans

JSON = "application/json"
# Sequences that a terminal obeys: CSI, OSC and the other strings, and two-character ones.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -~]?"
)

_REPR = re.compile(r"([A-Za-z_][\w.]*)\((.{0,10000})\)", re.DOTALL)

# Remaining time for a call in milliseconds. Relative, as gRPC's is, so that no two clocks have to agree.
DEADLINE_HEADER = "x-gym-timeout-ms"
# Of an agent's reply: the tools that failed in the rollout, as ``server/tool=count`` (quoted as in URLs), by commas.
TOOL_ERRORS_HEADER = "x-gym-tool-errors"
# The spans of a traced request (``gymctl.server.tracing``).
SPANS_HEADER = "x-gym-spans"
# Whether the body of a call is kept, or continues one that was (``kept_bodies``).
CONVERSATION_HEADER = "x-gym-conversation"
# Headers of a reply that its caller sees.
PASSED_HEADERS = ("retry-after", "server-timing", TOOL_ERRORS_HEADER, SPANS_HEADER, CONVERSATION_HEADER)
# On a 503: the server is leaving and has not looked at the request, which may go to another one as if never sent.
NOT_TAKEN_HEADER = "x-gym-not-taken"


@dataclass(slots=True)
class Call:
    """One request. ``deadline`` is a point on ``time.monotonic()``'s scale, or None.

    ``place`` is the address of ours that the caller dialled; empty within one process. ``traceparent`` is the trace
    that the call is part of (W3C's header); empty where it is not traced. ``conversation`` is the value of
    ``CONVERSATION_HEADER``; ``kept`` is the part of an earlier body that ``body`` was put together from.
    """

    path: str
    body: bytes = b""
    method: str = "POST"
    cookies: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()
    place: str = ""
    traceparent: str = ""
    conversation: str = ""
    kept: memoryview | None = None

    def header(self, name: str) -> str | None:
        """The first header of that (lower-case) name."""
        encoded = name.encode("latin-1")
        return next((value.decode("latin-1") for key, value in self.headers if key == encoded), None)


@dataclass(slots=True)
class Reply:
    """One answer. ``cookies`` are those to set; header names are lower-case.

    ``answer`` is the value of a body that a model server has read as an answer; only callers in the same process get
    it, and own it. ``spans`` are those of a traced request, which over HTTP are in ``SPANS_HEADER``.
    """

    status: int = 200
    body: bytes = b""
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = JSON
    answer: dict[str, Any] | None = None
    spans: RequestSpans | None = None

    def json(self) -> Any:
        """The body parsed.

        Raises:
            ValueError: it is not JSON.
        """
        return exact_json.loads(self.body)


def failure_sentence(reply: Reply) -> str:
    """The message of an error reply, as one line of printable text: its ``detail`` or ``error``, otherwise its body."""
    try:
        value = reply.json()
    except ValueError:
        value = reply.body.decode(errors="replace")
    if isinstance(value, dict):
        value = next((value[name] for name in ("detail", "error", "message") if value.get(name)), value)
    if isinstance(value, dict):
        value = value.get("message") or exact_json.dumps(value).decode()
    return printable_line(_unquoted(value) if isinstance(value, str) else exact_json.dumps(value).decode())


def _unquoted(text: str) -> str:
    """An exception's ``repr``, with which NeMo Gym's servers answer, as its name and message; other text as it is."""
    match = _REPR.fullmatch(text.strip())
    if match is None:
        return text
    try:
        if match[2]:
            arguments = ast.literal_eval(f"({match[2]},)")
        else:
            arguments = ()
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    message = " ".join(str(argument) for argument in arguments)
    if message:
        return f"{match[1]}: {message}"
    return match[1]


def printable_line(text: str, most: int = 500) -> str:
    """A text as one line without control characters and escape sequences, cut after ``most`` characters."""
    plain = _ESCAPES.sub("", text)
    line = " ".join("".join(character if character.isprintable() else " " for character in plain).split())
    if len(line) <= most:
        return line
    return f"{line[:most]}..."


def json_reply(value: Any, status: int = 200) -> Reply:
    """A reply whose body is ``value`` as JSON."""
    return Reply(status, exact_json.dumps(value))


class RefusedError(GymctlError):
    """An invalid request: a server answers it with 422 in FastAPI's format, and it is not retried."""

    def __init__(self, place: Sequence[str | int], message: str, kind: str = "value_error") -> None:
        super().__init__(f"{'.'.join(str(part) for part in place) or 'body'}: {message}")
        self.place = tuple(place)
        self.detail = {"type": kind, "loc": ["body", *place], "msg": message}

    def below(self, *place: str | int) -> RefusedError:
        """The same refusal with its place below another one."""
        return RefusedError((*place, *self.place), str(self.detail["msg"]), str(self.detail["type"]))

    def reply(self) -> Reply:
        """The 422."""
        return json_reply({"detail": [self.detail]}, 422)


def json_object(body: bytes) -> dict[str, Any]:
    """A request's body parsed.

    Raises:
        RefusedError: it is not a JSON object.
    """
    try:
        value = exact_json.loads(body)
    except ValueError as error:
        problem = exact_json.explain(body) or str(error)
        raise RefusedError((), f"JSON decode error: {problem}", "json_invalid") from error
    if not isinstance(value, dict):
        raise RefusedError((), "Input should be an object", "dict_type")
    return value
