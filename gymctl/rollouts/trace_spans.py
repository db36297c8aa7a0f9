"""The spans of a rollout as they are exported: their names, ids, times and attributes.

The conventions of OpenTelemetry for generative models (``gen_ai.*``) are still in development: names are only here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from gymctl.server.span_header import MeasuredSpan, RecordedCall, read_spans
from gymctl.server.tracing import child_id

COLLECTOR = "collector"
"""The server that the collector's own spans belong to."""
AttributeValue = str | int | float
_HOPS = {
    "/seed_session": "seed",
    "/v1/responses": "model",
    "/v1/chat/completions": "model",
    "/verify": "verify",
    "/close_session": "close",
    "/run": "rollout",
}


class SpanKind(StrEnum):
    """The side of a call that a span measures."""

    INTERNAL = "internal"
    CLIENT = "client"
    SERVER = "server"


class RolloutSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One span. Times are in nanoseconds since 1970."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    parent_id: str = ""
    name: str
    server: str
    """The server that measured it."""
    kind: SpanKind
    start_ns: int
    end_ns: int
    error: str = ""
    """Why it failed; empty for one that succeeded."""
    attributes: dict[str, AttributeValue] = {}


class _Place(NamedTuple):
    """A measured span, and the one that it is below."""

    measured: MeasuredSpan
    span_id: int
    parent_id: int
    caller: str
    """The server that measured the span around it."""
    kind: SpanKind
    start_ns: int


def attempt_spans(
    call: RecordedCall, number: int, root: tuple[str, int], start_ns: int, attributes: Mapping[str, AttributeValue],
    error: str,
) -> Iterator[RolloutSpan]:  # fmt: skip
    """The span of one attempt at a rollout, and those that its agent returned.

    Args:
        call: the call of the agent.
        number: which call of the rollout it was, from 0.
        root: the trace, and the id of the rollout's own span.
        start_ns: when the call began.
        attributes: those of all spans.
        error: why the attempt failed; empty for a result.
    """
    trace_id, root_id = root
    attempt_id = child_id(root_id, number)
    duration_ns = round(call.seconds * 1e9)
    yield RolloutSpan(
        trace_id=trace_id,
        span_id=f"{attempt_id:016x}",
        parent_id=f"{root_id:016x}",
        name="attempt",
        server=COLLECTOR,
        kind=SpanKind.CLIENT,
        start_ns=start_ns,
        end_ns=start_ns + duration_ns,
        error=error,
        attributes={**attributes, **_call_attributes(call.outcome, call.server), "gymctl.attempt": number},
    )
    measured = read_spans(call.header)
    if measured is None:
        return
    waiting = [_server_place(measured, attempt_id, start_ns, duration_ns)]
    while waiting:
        place = waiting.pop()
        yield _span_at(place, trace_id, {**attributes, "gymctl.attempt": number})
        waiting.extend(_places_below(place))


def _server_place(measured: MeasuredSpan, caller_id: int, start_ns: int, duration_ns: int) -> _Place:
    """A server's own span in the middle of the span of its call: the two clocks need not agree."""
    inside = start_ns + max(0, duration_ns - measured.duration_us * 1000) // 2
    return _Place(measured, child_id(caller_id, 0), caller_id, measured.server, SpanKind.SERVER, inside)


def _places_below(place: _Place) -> Iterator[_Place]:
    """The last one first, for a stack."""
    children = place.measured.children
    if place.kind is SpanKind.CLIENT:
        duration_ns = place.measured.duration_us * 1000
        yield from (_server_place(child, place.span_id, place.start_ns, duration_ns) for child in reversed(children))
        return
    for number in reversed(range(len(children))):
        child = children[number]
        start_ns = place.start_ns + child.start_us * 1000
        identity = child_id(place.span_id, number)
        yield _Place(child, identity, place.span_id, place.measured.server, SpanKind.CLIENT, start_ns)


def _span_at(place: _Place, trace_id: str, attributes: Mapping[str, AttributeValue]) -> RolloutSpan:
    measured = place.measured
    own = dict(attributes)
    if place.kind is SpanKind.CLIENT:
        name = _call_name(measured.path)
        own |= _call_attributes(measured.outcome, measured.server)
        if name.startswith("tool "):
            own["gen_ai.tool.name"] = name.removeprefix("tool ")
    else:
        name = f"POST {measured.path}"
        own["http.response.status_code"] = _status(measured.outcome)
    if measured.session:
        own["gymctl.session"] = measured.session
    if measured.dropped:
        own["gymctl.dropped_spans"] = measured.dropped
    return RolloutSpan(
        trace_id=trace_id,
        span_id=f"{place.span_id:016x}",
        parent_id=f"{place.parent_id:016x}",
        name=name,
        server=place.caller,
        kind=place.kind,
        start_ns=place.start_ns,
        end_ns=place.start_ns + measured.duration_us * 1000,
        error=_error(measured.outcome),
        attributes=own,
    )


def _call_name(path: str) -> str:
    """The hop of a call by its path; any path that is not part of every rollout is a tool."""
    return _HOPS.get(path) or f"tool {path.removeprefix('/')}"


def _call_attributes(outcome: str, server: str) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {"peer.service": server}
    if outcome.isdecimal():
        attributes["http.response.status_code"] = _status(outcome)
    else:
        attributes["error.type"] = outcome
    return attributes


def _status(outcome: str) -> int:
    if outcome.isdecimal() and len(outcome) <= 3:
        return int(outcome)
    return 0


def _error(outcome: str) -> str:
    """Why a call failed: its status from 400 on, or why it has none."""
    if not outcome.isdecimal():
        return outcome or "no reply"
    if _status(outcome) >= 400:
        return f"status {outcome}"
    return ""
