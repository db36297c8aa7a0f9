"""The reply header with the spans of a request: how it is written, and read again.

``start;duration;outcome;path;server;session;dropped`` is the span of the server that answered. In parentheses after it
come its calls, separated by commas: ``start;duration;outcome;path;server``, and in parentheses what the callee returned
in its own header. Times are in microseconds, and a start is relative to the span around it, so that no two clocks have
to agree. Names are encoded as in URLs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, unquote

import msgspec

MOST_HEADER_CHARACTERS = 6000
"""Size of the header: proxies and clients allow about 8 KB for one field."""
_MOST_OF_A_SPAN = 700
_LONGEST_NAME = 100
_MOST_CHARACTERS = 300  # of an encoded name
_MOST_OF_A_LETTER = 12
_TIME = r"(\d{1,15})"
_TEXT = rf"([\w.~%/+-]{{0,{_MOST_CHARACTERS}}})"
_SPAN = re.compile(rf"{_TIME};{_TIME};{_TEXT};{_TEXT};{_TEXT}(?:;{_TEXT};(\d{{1,9}}))?", re.ASCII)


class RecordedCall(msgspec.Struct):
    """One call to another server."""

    path: str
    server: str
    started: float
    """On the scale of ``time.perf_counter()``."""
    seconds: float = 0.0
    outcome: str = "cancelled"
    """Status of the reply; without one, why there is none (``HopFailed.kind``)."""
    spans: str | RequestSpans = ""
    """The header of the reply; from a server in the same process, what it would be written from."""

    @property
    def header(self) -> str:
        """The header of the reply; empty when it has none."""
        if isinstance(self.spans, str):
            return self.spans
        return self.spans.header


class RequestSpans(msgspec.Struct):
    """What a server measured of one request. Most are dropped, so the header is only written where it is needed."""

    own: RecordedCall
    """The request itself."""
    session: str
    """The end of its session's id."""
    calls: list[RecordedCall]
    """Calls that it made."""
    uncounted: int = 0
    """How many more it made."""

    @property
    def header(self) -> str:
        """The header of the reply."""
        return write_spans(self.own, self.session, self.calls, self.uncounted)


@dataclass(kw_only=True)
class MeasuredSpan:
    """One span of a header, and those below it."""

    start_us: int
    """After the start of the span around it."""
    duration_us: int
    outcome: str
    path: str
    server: str
    session: str = ""
    """The end of the session's id, in a server's own span."""
    dropped: int = 0
    """How many of its calls are missing, in a server's own span."""
    children: list[MeasuredSpan] = field(default_factory=list)


def write_spans(own: RecordedCall, session: str, calls: Sequence[RecordedCall], uncounted: int = 0) -> str:
    """The header of a reply, with as many of its calls as fit, the first ones first.

    Args:
        own: the request itself.
        session: the end of its session's id.
        calls: those that it made.
        uncounted: how many more it made.
    """
    room = MOST_HEADER_CHARACTERS - _MOST_OF_A_SPAN
    parts: list[str] = []
    for call in calls:
        part = _fields(call, call.started - own.started)
        if call.spans:
            below = call.header
            if len(part) + len(below) + 3 < room and read_spans(below) is not None:
                part = f"{part}({below})"
        room -= len(part) + 1
        if room < 0:
            break
        parts.append(part)
    dropped = len(calls) - len(parts) + uncounted
    if not (session.isascii() and session.isalnum()):  # each session is another one: encoding it takes longest of all
        session = _quoted(session)
    text = f"{_fields(own, 0)};{session};{dropped}"
    if not parts:
        return text
    return f"{text}({','.join(parts)})"


def _fields(call: RecordedCall, start: float) -> str:
    return "%d;%d;%s;%s" % (start * 1e6, call.seconds * 1e6, call.outcome, _names(call.path, call.server))  # noqa: UP031 - takes half as long


@lru_cache(maxsize=1024)
def _names(path: str, server: str) -> str:
    return f"{_quoted(path)};{_quoted(server)}"


def _quoted(name: str) -> str:
    text = quote(name[:_LONGEST_NAME], safe="/", errors="replace")
    if len(text) > _MOST_CHARACTERS:
        return quote(name[: _MOST_CHARACTERS // _MOST_OF_A_LETTER], safe="/", errors="replace")
    return text


def read_spans(text: str) -> MeasuredSpan | None:
    """The span of a header; None when the text is something else."""
    root = MeasuredSpan(start_us=0, duration_us=0, outcome="", path="", server="")
    around = [root]
    at = 0
    while True:
        match = _SPAN.match(text, at)
        if match is None:
            return None
        span = _span_of(match)
        around[-1].children.append(span)
        at = match.end()
        if text[at : at + 1] == "(":
            around.append(span)
            at += 1
            continue
        while text[at : at + 1] == ")":
            around.pop()
            at += 1
            if not around:
                return None
        if text[at : at + 1] != ",":
            break
        at += 1
    if at != len(text) or around != [root] or len(root.children) != 1:
        return None
    return root.children[0]


def _span_of(match: re.Match[str]) -> MeasuredSpan:
    return MeasuredSpan(
        start_us=int(match[1]),
        duration_us=int(match[2]),
        outcome=unquote(match[3]),
        path=unquote(match[4]),
        server=unquote(match[5]),
        session=unquote(match[6] or ""),
        dropped=int(match[7] or 0),
    )
