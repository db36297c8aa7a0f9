"""Spans of a rollout: each server measures the calls it makes, and returns them to its caller with its reply.

The collector begins a trace and names it in W3C's header ``traceparent``; without it, nothing is measured. An agent
always measures then. The servers that it calls do so only if the trace is sampled, since most traces are dropped: the
spans of a rollout are kept by its collector alone, which knows whether it failed or was slow.

Ids are not in the header: the caller knows the id that it gave to a call, and those below follow from it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from gymctl.config.vocabulary import ServerKind
from gymctl.errors import RunError
from gymctl.server.message import SPANS_HEADER, Call, Reply
from gymctl.server.span_header import RecordedCall, RequestSpans

_AGENT = ServerKind.AGENT.value
_MOST_CALLS = 200
_SESSION_DIGITS = 8
_SAMPLED = "13579bdf"  # last digits of flags whose lowest bit is set
_ID_MASK = (1 << 64) - 1
_ID_FACTOR = 0x9E3779B97F4A7C15  # odd, so that ids at different places of a tree differ
_ID_STEP = 0xD1B54A32D192ED03


@dataclass(slots=True)
class TraceContext:
    """The trace that calls belong to, and the span of their caller."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: int
    is_sampled: bool
    """Whether all servers measure; otherwise only agents do."""

    def traceparent(self, number: int) -> str:
        """The header of the ``number``-th call (from 0)."""
        flags = "01" if self.is_sampled else "00"
        return f"00-{self.trace_id}-{child_id(self.span_id, number):016x}-{flags}"


def is_measured(traceparent: str, kind: str) -> bool:
    """Whether a server of this kind measures a request with a well-formed ``traceparent``."""
    return kind == _AGENT or traceparent[-1] in _SAMPLED


def child_id(span_id: int, number: int) -> int:
    """The id of the ``number``-th span below a span (from 0)."""
    return (span_id * _ID_FACTOR + (number + 1) * _ID_STEP) & _ID_MASK or 1


class CallTransport(Protocol):
    """How a call gets to a server."""

    async def send(self, server: str, call: Call) -> Reply:
        """Deliver the call and return the reply."""


class CallRecorder:
    """Measures the calls made below one span.

    Args:
        context: their trace; each call gets an id of its own.
        traceparent: the header of all calls instead, where no server below makes spans.

    Attributes:
        calls: those measured, in the order in which they began.
        uncounted: how many more there were.
    """

    __slots__ = ("_traceparent", "calls", "context", "uncounted")

    def __init__(self, context: TraceContext | None, traceparent: str = "") -> None:
        self.context = context
        self._traceparent = traceparent
        self.calls: list[RecordedCall] = []
        self.uncounted = 0

    async def send(self, transport: CallTransport, server: str, call: Call) -> Reply:
        """Deliver a call with a ``traceparent``, and measure it."""
        recorded = RecordedCall(call.path, server, time.perf_counter())
        number = len(self.calls)
        if number < _MOST_CALLS:
            self.calls.append(recorded)
        else:
            self.uncounted += 1
        if self.context is None:
            call.traceparent = self._traceparent
        else:
            call.traceparent = self.context.traceparent(number)
        token = _recorder.set(None)  # within one process, this would measure the calls of the server called too
        try:
            reply = await transport.send(server, call)
        except RunError as failure:
            recorded.outcome = getattr(failure, "kind", "failed")
            raise
        finally:
            recorded.seconds = time.perf_counter() - recorded.started
            _recorder.reset(token)
        recorded.outcome = _STATUS_TEXTS[reply.status]
        if reply.spans is not None:
            recorded.spans = reply.spans
        elif reply.headers:
            recorded.spans = reply.headers.pop(SPANS_HEADER, "")
        return reply


_recorder: ContextVar[CallRecorder | None] = ContextVar("recorder", default=None)


def current_recorder() -> CallRecorder | None:
    """What measures the calls of this code; None where nothing does."""
    return _recorder.get()


class _Recording:
    """A block whose calls a recorder measures; a context manager of ``contextlib`` would cost three times as much."""

    __slots__ = ("_recorder", "_token")

    def __init__(self, recorder: CallRecorder | None) -> None:
        self._recorder = recorder

    def __enter__(self) -> None:
        self._token = _recorder.set(self._recorder)

    def __exit__(self, *error: object) -> None:
        _recorder.reset(self._token)


def recording(recorder: CallRecorder | None) -> AbstractContextManager[None]:
    """Run a block whose calls a recorder measures; None: none does."""
    return _Recording(recorder)


async def traced(answering: Awaitable[Reply], call: Call, server: str, cookie: str) -> Reply:
    """Await the reply to a call with a ``traceparent``, and add the spans below it.

    Args:
        answering: the reply.
        call: the call.
        server: name of the server that answers.
        cookie: name of the cookie with its sessions' ids.
    """
    if call.traceparent[-1] in _SAMPLED:
        recorder = CallRecorder(_server_context(call.traceparent))
    else:
        recorder = CallRecorder(None, call.traceparent)
    own = RecordedCall(call.path, server, time.perf_counter())
    token = _recorder.set(recorder)
    try:
        reply = await answering
    finally:
        _recorder.reset(token)
    own.seconds = time.perf_counter() - own.started
    own.outcome = _STATUS_TEXTS[reply.status]
    session = reply.cookies.get(cookie, "")[-_SESSION_DIGITS:]
    reply.spans = RequestSpans(own, session, recorder.calls, recorder.uncounted)
    return reply


def _server_context(traceparent: str) -> TraceContext:
    """The trace and the span of a server that measures a call with a well-formed, sampled ``traceparent``."""
    return TraceContext(traceparent[3:35], child_id(int(traceparent[36:52], 16), 0), is_sampled=True)


class _StatusTexts(dict[int, str]):
    """Statuses as text, each made once."""

    def __missing__(self, status: int) -> str:
        """Make the text of a status, and keep it."""
        text = self[status] = str(status)
        return text


_STATUS_TEXTS = _StatusTexts()
