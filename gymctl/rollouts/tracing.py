"""Traces of rollouts: which are kept, and the spans that the collector itself adds.

Whether a rollout failed or was slow is known when it has ended, and only here: what it is made of is measured anyway,
and most of it dropped. Of the others a share is kept, by the trace's id, which follows from the run and the rollout.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gymctl.rollouts.events import Traced
from gymctl.rollouts.trace_spans import COLLECTOR, AttributeValue, RolloutSpan, SpanKind, attempt_spans
from gymctl.server.message import printable_line
from gymctl.server.tracing import CallRecorder, TraceContext

if TYPE_CHECKING:
    from gymctl.rollouts.failures import Failure
    from gymctl.rollouts.pending import Pending

_ALL_IDS = 1 << 64


def trace_id_of(run_id: str, task: int, repeat: int) -> str:
    """The id of a rollout's trace: the same for every attempt at it, in a resumed run too."""
    return hashlib.blake2b(f"{run_id}/{task}:{repeat}".encode(), digest_size=16).hexdigest()


def is_sampled(trace_id: str, ratio: float) -> bool:
    """Whether a trace is among the share ``ratio`` of all, as OpenTelemetry's ``TraceIdRatioBased`` decides."""
    return int(trace_id[16:], 16) < _sampled_below(ratio)


def _sampled_below(ratio: float) -> int:
    """The lower half of a sampled trace's id is below this number."""
    return round(ratio * _ALL_IDS)


@dataclass(slots=True)
class RolloutTrace:
    """The trace of one rollout, while it is under way."""

    context: TraceContext
    """Its span is the rollout's own."""
    recorder: CallRecorder
    """Its calls are the attempts."""
    began: float
    exported: int = 0
    """How many of the attempts were exported."""

    @property
    def trace_id(self) -> str:
        """Its id."""
        return self.context.trace_id


class RunTracer:
    """The traces of one run.

    Args:
        run_id: names the run.
        ratio: the share of successful rollouts whose traces are kept.
        slow_s: seconds from which on a rollout's trace is kept.
        emit: takes ``Traced`` events.
    """

    def __init__(self, run_id: str, ratio: float, slow_s: float, emit: Callable[[Traced], None]) -> None:
        self._run_id = run_id
        self._sampled_below = _sampled_below(ratio)
        self._session = int.from_bytes(os.urandom(8), "big")  # a resumed run makes other spans of the same traces
        self._slow_s = slow_s
        self._emit = emit
        self._zero_ns = time.time_ns() - round(time.perf_counter() * 1e9)

    def begin(self, pending: Pending) -> None:
        """Begin the trace of a rollout, unless an earlier attempt has."""
        if pending.trace is None:
            trace_id = trace_id_of(self._run_id, pending.task, pending.repeat)
            low = int(trace_id[16:], 16)
            context = TraceContext(trace_id, low ^ self._session or 1, low < self._sampled_below)
            pending.trace = RolloutTrace(context, CallRecorder(context), time.perf_counter())

    def keeps(self, trace: RolloutTrace) -> bool:
        """Whether the trace of a rollout that has succeeded now is kept: it is sampled, was slow, or failed before."""
        is_slow = time.perf_counter() - trace.began >= self._slow_s
        return is_slow or trace.exported > 0 or trace.context.is_sampled

    def finished(self, pending: Pending, reward: float) -> None:
        """Export the trace of a result."""
        trace = pending.trace
        if trace is not None:
            attempts = self._attempts(pending, trace, "")
            self._emit(Traced([*attempts, self._root(pending, trace, "", {"gymctl.reward": reward})]))

    def attempt_failed(self, pending: Pending, failure: Failure) -> None:
        """Export an attempt that failed; the rollout's own span follows at its end."""
        if pending.trace is None:
            return
        spans = self._attempts(pending, pending.trace, _sentence(failure))
        if spans:
            self._emit(Traced(spans))

    def failed(self, pending: Pending, failure: Failure) -> None:
        """Export the span of a rollout that has failed for good."""
        if pending.trace is not None:
            attributes: dict[str, AttributeValue] = {"error.type": failure.failure_class, "gymctl.hop": failure.hop}
            error = _sentence(failure)
            self._emit(Traced([self._root(pending, pending.trace, error, attributes)]))

    def _attempts(self, pending: Pending, trace: RolloutTrace, error: str) -> list[RolloutSpan]:
        """The spans of attempts that were not exported yet: the last one."""
        spans: list[RolloutSpan] = []
        context = trace.context
        for number in range(trace.exported, len(trace.recorder.calls)):
            call = trace.recorder.calls[number]
            root = (context.trace_id, context.span_id)
            spans += attempt_spans(call, number, root, self._at(call.started), self._attributes(pending), error)
            call.spans = ""
        trace.exported = len(trace.recorder.calls)
        return spans

    def _root(
        self, pending: Pending, trace: RolloutTrace, error: str, attributes: dict[str, AttributeValue]
    ) -> RolloutSpan:
        return RolloutSpan(
            trace_id=trace.trace_id,
            span_id=f"{trace.context.span_id:016x}",
            name="rollout",
            server=COLLECTOR,
            kind=SpanKind.INTERNAL,
            start_ns=self._at(trace.began),
            end_ns=self._at(time.perf_counter()),
            error=error,
            attributes={**self._attributes(pending), **attributes, "gymctl.attempts": len(trace.recorder.calls)},
        )

    def _attributes(self, pending: Pending) -> dict[str, AttributeValue]:
        return {
            "gymctl.run": self._run_id,
            "gymctl.task": pending.task,
            "gymctl.repeat": pending.repeat,
            "gymctl.agent": pending.agent,
        }

    def _at(self, moment: float) -> int:
        """Nanoseconds since 1970 of a moment on ``time.perf_counter()``'s scale."""
        return self._zero_ns + round(moment * 1e9)


def _sentence(failure: Failure) -> str:
    """What went wrong, on one line."""
    return printable_line(f"{failure.failure_class}: {failure.message}")
