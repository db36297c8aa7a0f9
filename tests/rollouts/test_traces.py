"""Traces of a collection: which rollouts have one, what is in it, and that no receiver can harm a run."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rollout_stack import TIMING, Agents, collected, read, row, spec_of
from trace_receiver import ReceivedSpan, TraceReceiver, receiving_traces

from gymctl.config.blocks.telemetry import TelemetryKeys
from gymctl.errors import InputError
from gymctl.rollouts import trace_export
from gymctl.rollouts.events import Event, RunNote
from gymctl.rollouts.report import Report
from gymctl.rollouts.spec import RunSpec
from gymctl.rollouts.trace_export import exporting
from gymctl.rollouts.tracing import is_sampled, trace_id_of
from gymctl.server.span_header import RecordedCall, write_spans

pytestmark = [pytest.mark.enable_socket, pytest.mark.usefixtures("quick")]


class TracedAgents(Agents):
    """Agents that keep the trace of each request, and return spans."""

    parents: list[tuple[int, str | None]]

    async def run(self, request: web.Request) -> web.StreamResponse:
        row = await request.json()
        self.__dict__.setdefault("parents", []).append((row["n"], request.headers.get("traceparent")))
        answer = await super().run(request)
        if "traceparent" in request.headers:
            calls = [RecordedCall("/v1/responses", "policy", 0.0001, 0.0002, "200")]
            answer.headers["x-gym-spans"] = write_spans(RecordedCall("/run", "alpha", 0, 0.0005, "200"), "ab", calls)
        return answer


def traced(spec: RunSpec, agents: Agents, receiver: TraceReceiver | str, **keys: Any) -> tuple[Report, list[str]]:
    """A collection whose spans go to a receiver, and the notes of the run."""
    url = receiver if isinstance(receiver, str) else receiver.url
    notes: list[str] = []

    def on_event(event: Event) -> None:
        if isinstance(event, RunNote):
            notes.append(event.text)

    with exporting(TelemetryKeys.model_validate({"enabled": True, "otlp_endpoint": url, **keys}), on_event) as take:
        report = collected(spec, agents, take)
    return report, notes


def ids(spec: RunSpec) -> dict[int, str]:
    """The trace of each task, by what the rows of results and failures say."""
    found = {line["_ng_task_index"]: line["_gymctl_timing"].get("trace_id") for line in read(spec.output)}
    for line in read(spec.files.failures):
        found[line["_ng_task_index"]] = line["_gymctl_failure"]["trace_id"]
    return {task: trace for task, trace in found.items() if trace}


def named(spans: list[ReceivedSpan], name: str) -> list[ReceivedSpan]:
    return sorted((span for span in spans if span.name == name), key=lambda span: span.start_ns)


def run_of(spec: RunSpec) -> str:
    return str(json.loads(spec.files.identity.read_text())["run"])


def test_one_rollout_is_one_trace(tmp_path: Path) -> None:
    agents = TracedAgents()
    spec = spec_of(tmp_path, 3, trace_ratio=1.0)
    began = time.time_ns()
    with receiving_traces() as receiver:
        report, notes = traced(spec, agents, receiver, otlp_headers="x-key=one%20two")
    assert (report.done, notes) == (3, [])
    assert {request[":path"] for request in receiver.requests} == {"/v1/traces"}
    assert {request["x-key"] for request in receiver.requests} == {"one two"}
    assert {request["content-type"] for request in receiver.requests} == {"application/x-protobuf"}
    traces = receiver.traces()
    assert set(traces) == set(ids(spec).values()) == {trace_id_of(run_of(spec), task, 0) for task in range(3)}
    for number, parent in agents.parents:
        (root,), (attempt,), (server,), (model,) = (
            named(traces[ids(spec)[number]], name) for name in ("rollout", "attempt", "POST /run", "model")
        )
        assert root.parent_id == "" and len({root.span_id, attempt.span_id, server.span_id, model.span_id}) == 4
        assert (attempt.parent_id, server.parent_id, model.parent_id) == (root.span_id, attempt.span_id, server.span_id)
        assert parent == f"00-{root.trace_id}-{attempt.span_id}-01"
        assert [span.service for span in (root, attempt, server, model)] == [
            "gymctl/collector", "gymctl/collector", "gymctl/alpha", "gymctl/alpha",
        ]  # fmt: skip
        assert began <= root.start_ns <= attempt.start_ns <= server.start_ns <= model.start_ns
        assert model.end_ns <= server.end_ns <= attempt.end_ns <= root.end_ns <= time.time_ns()
        assert (model.start_ns - server.start_ns, model.end_ns - model.start_ns) == (100_000, 200_000)
        assert model.attributes["peer.service"] == "policy"
        assert server.attributes["gymctl.session"] == "ab"
        assert root.attributes["gymctl.reward"] == float(number % 2)
        for span in (root, attempt, server, model):
            assert not span.is_error
            assert span.attributes["gymctl.run"] == run_of(spec)
            assert (span.attributes["gymctl.task"], span.attributes["gymctl.repeat"]) == (number, 0)


def test_of_the_successful_ones_the_sampled_share_is_kept(tmp_path: Path) -> None:
    agents = TracedAgents()
    spec = spec_of(tmp_path, 400, trace_ratio=0.1)
    with receiving_traces() as receiver:
        report, _ = traced(spec, agents, receiver)
    assert report.done == 400
    run = run_of(spec)
    sampled = {task for task in range(400) if is_sampled(trace_id_of(run, task, 0), 0.1)}
    assert 10 <= len(sampled) <= 80
    assert set(ids(spec)) == sampled
    assert set(receiver.traces()) == {trace_id_of(run, task, 0) for task in sampled}
    assert {number for number, parent in agents.parents if parent and parent.endswith("-01")} == sampled
    assert all(parent is not None for _, parent in agents.parents)


def test_every_failed_and_every_slow_rollout_is_kept(tmp_path: Path) -> None:
    def misbehave(agents: Agents, item: dict[str, Any]) -> web.Response | None:
        if item["n"] == 3:
            return web.json_response({"detail": "no such row"}, status=422)
        if item["n"] == 5:
            return web.json_response({"reward": 0.0, "_ng_failure_class": "judge_failed", "_ng_failure_terminal": True})
        return None

    agents = TracedAgents(misbehave=misbehave, slow=lambda item: 0.6 if item["n"] == 7 else 0.0)
    spec = spec_of(tmp_path, 20, trace_ratio=0.0, trace_slow_s=0.5)
    with receiving_traces() as receiver:
        report, _ = traced(spec, agents, receiver)
    assert (report.done, report.failed) == (18, 2)
    assert set(ids(spec)) == {3, 5, 7}
    traces = receiver.traces()
    assert set(traces) == set(ids(spec).values())
    for task, error in ((3, "rejected: "), (5, "judge_failed: ")):
        spans = traces[ids(spec)[task]]
        (root,) = named(spans, "rollout")
        assert root.is_error and root.error.startswith(error)
        assert named(spans, "attempt")[-1].is_error and named(spans, "model")
    slow = traces[ids(spec)[7]]
    assert not any(span.is_error for span in slow)
    assert len(slow) == 4


def test_retries_are_siblings(tmp_path: Path) -> None:
    def misbehave(agents: Agents, item: dict[str, Any]) -> web.Response | None:
        if agents.served[item["_ng_task_index"], 0] < 3:
            return web.json_response({"detail": "busy"}, status=503, headers={"server-timing": TIMING})
        return None

    agents = TracedAgents(misbehave=misbehave)
    spec = spec_of(tmp_path, 1, trace_ratio=0.0)
    with receiving_traces() as receiver:
        report, _ = traced(spec, agents, receiver)
    assert report.done == 1
    (spans,) = receiver.traces().values()
    (root,) = named(spans, "rollout")
    attempts = named(spans, "attempt")
    assert [attempt.is_error for attempt in attempts] == [True, True, False]
    assert {attempt.parent_id for attempt in attempts} == {root.span_id}
    assert [attempt.attributes["gymctl.attempt"] for attempt in attempts] == [0, 1, 2]
    assert len({span.span_id for span in spans}) == len(spans)
    assert [parent for _, parent in agents.parents] == [f"00-{root.trace_id}-{a.span_id}-00" for a in attempts]
    assert not root.is_error and root.attributes["gymctl.attempts"] == 3
    assert ids(spec) == {0: root.trace_id}


def test_without_traces_nothing_is_sent(tmp_path: Path) -> None:
    agents = TracedAgents()
    spec = spec_of(tmp_path, 5)
    with receiving_traces() as receiver:
        traced(spec, agents, receiver)
        assert not receiver.requests
    assert {parent for _, parent in agents.parents} == {None}
    assert not ids(spec)
    with exporting(TelemetryKeys.model_validate({}), print) as take:
        assert take is print


def test_a_receiver_that_is_not_there_costs_one_warning(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        spec = spec_of(tmp_path, 50, trace_ratio=1.0)
        began = time.monotonic()
        report, notes = traced(spec, TracedAgents(slow=lambda item: 0.2), url)
    assert report.done == 50 and report.exit_code == 0
    assert time.monotonic() - began < 8
    assert len(read(spec.output)) == 50
    assert f"traces: 200 of 200 spans were not delivered to {url}/v1/traces: [Errno 111] Connection refused" in notes
    assert len(notes) <= 2


def test_a_receiver_that_hangs_ends_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_export, "_CLOSE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        report, notes = traced(spec_of(tmp_path, 3, trace_ratio=1.0), TracedAgents(), url)
    assert time.monotonic() - began < 5
    assert report.done == 3
    (note,) = notes
    assert note == f"traces: 12 of 12 spans were not delivered to {url}/v1/traces: it did not answer within 0.5 s"


def test_a_receiver_that_is_busy_is_asked_again(tmp_path: Path) -> None:
    with receiving_traces() as receiver:
        receiver.statuses = [503]
        _, notes = traced(spec_of(tmp_path, 3, trace_ratio=1.0), TracedAgents(), receiver)
        assert len(receiver.requests) == 2
    assert notes == []
    assert len(receiver.spans) == 12


@pytest.mark.parametrize("status", [400, 401, 307])
def test_a_receiver_that_refuses_is_not_asked_again(tmp_path: Path, status: int) -> None:
    with receiving_traces() as receiver:
        receiver.statuses = [status] * 9
        report, notes = traced(spec_of(tmp_path, 3, trace_ratio=1.0), TracedAgents(), receiver)
        assert len(receiver.requests) <= 3
    assert report.done == 3
    assert notes[-1].endswith(f"/v1/traces: it answers {status}")


def test_spans_that_a_receiver_rejects_are_counted(tmp_path: Path) -> None:
    with receiving_traces() as receiver:
        receiver.rejected = 2
        _, notes = traced(spec_of(tmp_path, 1, trace_ratio=1.0), TracedAgents(), receiver)
    assert "2 of 4 spans were not delivered" in notes[-1] and "rejects spans" in notes[-1]


def test_what_an_agent_returns_instead_of_spans_is_ignored(tmp_path: Path) -> None:
    class Odd(Agents):
        async def run(self, request: web.Request) -> web.StreamResponse:
            answer = await super().run(request)
            answer.headers["x-gym-spans"] = "(((;;,%zz" * 100
            return answer

    with receiving_traces() as receiver:
        report, _ = traced(spec_of(tmp_path, 1, trace_ratio=1.0), Odd(), receiver)
    assert report.done == 1
    assert sorted(span.name for span in receiver.spans) == ["attempt", "rollout"]


def test_a_timeout_is_in_the_trace(tmp_path: Path) -> None:
    agents = TracedAgents(slow=lambda item: 30.0)
    spec = spec_of(tmp_path, [row(0)], trace_ratio=0.0, deadline_s=0.3, max_attempts=1)
    with receiving_traces() as receiver:
        report, _ = traced(spec, agents, receiver)
    assert report.failed == 1
    (root,) = named(receiver.spans, "rollout")
    (attempt,) = named(receiver.spans, "attempt")
    assert root.error.startswith("timeout: ") and attempt.attributes["error.type"] == "timeout"
    assert attempt.end_ns - attempt.start_ns >= 250_000_000


def test_a_ratio_is_a_share() -> None:
    with pytest.raises(InputError, match=r"the trace ratio is 1\.5; it must be between 0 and 1"):
        RunSpec(Path("a"), Path("b"), trace_ratio=1.5)
    assert is_sampled("f" * 32, 1.0) and not is_sampled("0" * 32, 0.0)
    share = sum(is_sampled(trace_id_of("run", task, 0), 0.25) for task in range(4000)) / 4000
    assert 0.22 < share < 0.28


def test_spans_travel_as_events(tmp_path: Path) -> None:
    from gymctl.rollouts.events import Traced, decode, encode

    seen: list[Event] = []
    collected(spec_of(tmp_path, 1, trace_ratio=1.0), TracedAgents(), seen.append)
    (event,) = [event for event in seen if isinstance(event, Traced)]
    assert decode(encode(event)) == event
