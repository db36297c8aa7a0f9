"""Spans of a rollout: each server measures the calls it makes, and returns them to its caller in a reply header.

The collector begins a trace and names it in W3C's header ``traceparent``; without it, nothing is measured. An agent
always measures then. The servers that it calls do so only if the trace is sampled, since most traces are dropped: the
spans of a rollout are kept by its collector alone, which knows whether it failed or was slow.

Ids are not in the header: the caller knows the id that it gave to a call, and those below follow from it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from gymctl.config.vocabulary import ServerKind
from gymctl.errors import RunError
from gymctl.server.message import SPANS_HEADER, Call, Reply
from gymctl.server.span_header import RecordedCall, write_spans

_AGENT = ServerKind.AGENT.value
_MOST_CALLS = 200
_SESSION_DIGITS = 8
_SAMPLED = "13579bdf"  # last digits of flags whose lowest bit is set
_ID_MASK = (1 << 64) - 1
_ID_FACTOR = 0x9E3779B97F4A7C15  # odd, so that ids at different places of a tree differ
_ID_STEP = 0xD1B54A32D192ED03


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace that a request belongs to, and the span of its caller."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: int
    is_sampled: bool
    """Whether all servers measure; otherwise only agents do."""


def is_measured(traceparent: str, kind: str) -> bool:
    """Whether a server of this kind measures a request with a well-formed ``traceparent``."""
    return kind == _AGENT or traceparent[-1] in _SAMPLED


def read_traceparent(value: str) -> TraceContext:
    """The context that a well-formed ``traceparent`` (``rollout_context.begin_trace``) names."""
    return TraceContext(value[3:35], int(value[36:52], 16), value[-1] in _SAMPLED)


def child_id(span_id: int, number: int) -> int:
    """The id of the ``number``-th span below a span (from 0)."""
    return (span_id * _ID_FACTOR + (number + 1) * _ID_STEP) & _ID_MASK or 1


class CallTransport(Protocol):
    """How a call gets to a server."""

    async def send(self, server: str, call: Call) -> Reply:
        """Deliver the call and return the reply."""


class CallRecorder:
    """Measures the calls made below one span.

    Attributes:
        calls: those measured, in the order in which they began.
        uncounted: how many more there were.
    """

    __slots__ = ("_begin", "_end", "calls", "context", "uncounted")

    def __init__(self, context: TraceContext) -> None:
        self.context = context
        self.calls: list[RecordedCall] = []
        self.uncounted = 0
        self._begin = f"00-{context.trace_id}-"
        self._end = "-01" if context.is_sampled else "-00"

    async def send(self, transport: CallTransport, server: str, call: Call) -> Reply:
        """Deliver a call with a ``traceparent``, and measure it."""
        recorded = RecordedCall(call.path, server, time.perf_counter())
        number = len(self.calls)
        if number < _MOST_CALLS:
            self.calls.append(recorded)
        else:
            self.uncounted += 1
        call.traceparent = f"{self._begin}{child_id(self.context.span_id, number):016x}{self._end}"
        token = _recorder.set(None)  # within one process, this would measure the calls of the server called too
        try:
            reply = await transport.send(server, call)
            recorded.outcome = str(reply.status)
            if reply.headers:
                recorded.spans = reply.headers.pop(SPANS_HEADER, "")
        except RunError as failure:
            recorded.outcome = getattr(failure, "kind", "failed")
            raise
        finally:
            recorded.seconds = time.perf_counter() - recorded.started
            _recorder.reset(token)
        return reply


_recorder: ContextVar[CallRecorder | None] = ContextVar("recorder", default=None)


def current_recorder() -> CallRecorder | None:
    """What measures the calls of this code; None where nothing does."""
    return _recorder.get()


@contextmanager
def recording(recorder: CallRecorder | None) -> Iterator[None]:
    """Run a block whose calls a recorder measures; None: none does."""
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


async def traced(answering: Awaitable[Reply], call: Call, server: str, cookie: str) -> Reply:
    """Await the reply to a call with a ``traceparent``, and add the spans below it.

    Args:
        answering: the reply.
        call: the call.
        server: name of the server that answers.
        cookie: name of the cookie with its sessions' ids.
    """
    parent = read_traceparent(call.traceparent)
    recorder = CallRecorder(TraceContext(parent.trace_id, child_id(parent.span_id, 0), parent.is_sampled))
    own = RecordedCall(call.path, server, time.perf_counter())
    token = _recorder.set(recorder)
    try:
        reply = await answering
    finally:
        _recorder.reset(token)
    own.seconds = time.perf_counter() - own.started
    own.outcome = str(reply.status)
    session = reply.cookies.get(cookie, "")[-_SESSION_DIGITS:]
    reply.headers[SPANS_HEADER] = write_spans(own, session, recorder.calls, recorder.uncounted)
    return reply
