"""Collecting from agents that fail: nothing is lost, nothing is invented, the run ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rollout_stack import Agents, collected, keys, read, row, spec_of

from gymctl.rollouts import events
from gymctl.rollouts.collector import collect
from gymctl.rollouts.report import Report
from gymctl.rollouts.spec import RunSpec
from gymctl.server import Call, Client, HopFailed, Reply

pytestmark = pytest.mark.usefixtures("quick")


def first_time(
    answer: Callable[[], web.Response], every: int
) -> Callable[[Agents, dict[str, Any]], web.Response | None]:
    """Answer like that the first time to every ``every``th row."""

    def misbehave(agents: Agents, item: dict[str, Any]) -> web.Response | None:
        again = agents.served[item["_ng_task_index"], item["_ng_rollout_index"]] > 1
        return None if again or item["n"] % every else answer()

    return misbehave


def assert_all_there(spec: RunSpec, report: Report) -> None:
    expected = sorted(keys(read(spec.files.materialized)))
    assert sorted(keys(read(spec.output))) == expected
    assert (report.done, report.failed, report.unfinished) == (len(expected), 0, 0)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_tenth_of_server_errors_costs_nothing(tmp_path: Path, status: int) -> None:
    spec = spec_of(tmp_path, 50)
    report = collected(spec, Agents(first_time(lambda: web.Response(status=status), 10)))
    assert_all_there(spec, report)


def test_429_is_tried_again_not_before_it_said(tmp_path: Path) -> None:
    starts: dict[int, float] = {}

    def misbehave(agents: Agents, item: dict[str, Any]) -> web.Response | None:
        if item["n"] % 10 == 0:
            if item["n"] not in starts:
                starts[item["n"]] = time.monotonic()
                return web.Response(status=429, headers={"Retry-After": "0.2"})
            assert time.monotonic() - starts[item["n"]] >= 0.2
        return None

    spec = spec_of(tmp_path, 40)
    assert_all_there(spec, collected(spec, Agents(misbehave)))
    assert len(starts) == 4


def test_resets_are_tried_again(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 40)
    assert_all_there(spec, collected(spec, Agents(first_time(lambda: web.Response(status=599), 7))))


def test_a_hanging_rollout_ends_at_its_deadline_and_is_no_zero(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 10, deadline_s=0.3, max_attempts=2)
    report = collected(spec, Agents(slow=lambda item: 30.0 if item["n"] == 3 else 0.0))
    assert sorted(keys(read(spec.output))) == [(task, 0) for task in range(10) if task != 3]
    failures = read(spec.files.failures)
    assert [(item["_ng_attempt_index"], item["_ng_failure_terminal"]) for item in failures] == [(0, False), (1, True)]
    assert {item["_ng_failure_class"] for item in failures} == {"timeout"}
    assert (report.done, report.failed, report.unfinished, report.exit_code) == (9, 1, 0, 1)


def test_a_refused_request_is_final_at_once_and_kept_with_its_cause(tmp_path: Path) -> None:
    cause = {"hop": "policy_model", "path": "/v1/responses", "status": 401, "body": "no key " * 1000, "kind": "status"}
    detail = {"detail": "policy_model: POST /v1/responses answered 401", "cause": cause}
    agents = Agents(lambda _, item: web.json_response(detail, status=401) if item["n"] == 2 else None)
    spec = spec_of(tmp_path, 5)
    report = collected(spec, agents)
    (failure,) = read(spec.files.failures)
    assert agents.served[2, 0] == 1
    assert failure["agent_ref"] == {"name": "alpha"}
    assert (failure["_ng_task_index"], failure["_ng_rollout_index"]) == (2, 0)
    assert failure["_ng_failure_class"] == "rejected"
    assert failure["_ng_failure_terminal"] is True
    record = failure["_gymctl_failure"]
    assert (record["hop"], record["path"], record["status"]) == ("policy_model", "/v1/responses", 401)
    assert record["body"].startswith("no key")
    assert len(record["body"]) <= 2048
    assert report.agents["alpha"].failed == {"rejected": 1}
    assert "policy_model" in report.failure_examples["alpha: rejected"]


@pytest.mark.parametrize(
    ("body", "failure_class"),
    [
        (b"not json", "bad_reply"),
        (b"[1]", "bad_reply"),
        (b"{}", "bad_reply"),
        (b'{"reward": "1"}', "bad_reply"),
        (b'{"reward": null}', "bad_reply"),
        (b'{"reward": 1.0, "text": "\xff"}', "bad_reply"),
        (b'{"reward": 0.0, "_ng_failure_class": "judge_failed"}', "judge_failed"),
    ],
)
def test_what_is_no_result_is_a_failure(tmp_path: Path, body: bytes, failure_class: str) -> None:
    spec = spec_of(tmp_path, 3, max_attempts=1)
    answer = lambda agents, item: web.Response(body=body) if item["n"] == 1 else None  # noqa: E731
    report = collected(spec, Agents(answer))
    assert sorted(keys(read(spec.output))) == [(0, 0), (2, 0)]
    assert {item["_ng_failure_class"] for item in read(spec.files.failures)} == {failure_class}
    assert report.failed == 1


def test_a_pretty_printed_reply_becomes_one_line(tmp_path: Path) -> None:
    agents = Agents()
    agents.misbehave = lambda _, item: web.Response(body=json.dumps(agents.verdict(item), indent=2).encode())
    spec = spec_of(tmp_path, 5)
    assert_all_there(spec, collected(spec, agents))


def test_attempts_are_counted_and_their_number_is_kept(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 12, max_attempts=3)
    report = collected(spec, Agents(lambda _, item: web.Response(status=500) if item["n"] == 5 else None))
    failures = read(spec.files.failures)
    assert [item["_ng_attempt_index"] for item in failures] == [0, 1, 2]
    assert [item["_ng_failure_terminal"] for item in failures] == [False, False, True]
    assert (report.done, report.failed) == (11, 1)


class Outage:
    """A transport to nowhere: every call to the ``dead`` fails to connect until ``heal``; others answer."""

    def __init__(self, dead: set[str], heal_after: float = float("inf")) -> None:
        self.dead, self.heals = dead, time.monotonic() + heal_after
        self.calls: Counter[tuple[str, str]] = Counter()

    async def send(self, server: str, call: Call) -> Reply:
        self.calls[server, call.path] += 1
        await asyncio.sleep(0)
        if server in self.dead and time.monotonic() < self.heals:
            raise HopFailed(server, call.path, kind="connect", body="refused")
        return Reply(200, b'{"reward": 1.0}')

    async def close(self) -> None:
        """Nothing to close."""


def collected_from(spec: RunSpec, transport: Outage, seen: list[events.Event] | None = None) -> Report:
    async def work() -> Report:
        take = seen.append if seen is not None else lambda event: None
        return await collect(spec, Client(transport), on_event=take, stop=asyncio.Event())

    return asyncio.run(work())


def test_an_outage_costs_few_calls_and_no_row(tmp_path: Path) -> None:
    transport = Outage({"alpha"}, heal_after=0.4)
    seen: list[events.Event] = []
    spec = spec_of(tmp_path, 300, concurrency=50)
    assert_all_there(spec, collected_from(spec, transport, seen))
    assert transport.calls["alpha", "/run"] < 300 + 150
    assert any(isinstance(event, events.Paused) for event in seen)


def test_with_everything_dead_the_run_ends_and_says_so(tmp_path: Path) -> None:
    transport = Outage({"alpha"})
    spec = spec_of(tmp_path, 1000, concurrency=50, stall_s=0.3)
    report = collected_from(spec, transport)
    assert "cannot be reached" in report.stalled
    assert (report.done, report.failed, report.unfinished, report.exit_code) == (0, 0, 1000, 1)
    assert transport.calls["alpha", "/run"] < 200
    assert not any(item["_ng_failure_terminal"] for item in read(spec.files.failures))


def test_one_row_and_a_dead_agent_end_too(tmp_path: Path) -> None:
    report = collected_from(spec_of(tmp_path, 1, stall_s=0.2), Outage({"alpha"}))
    assert report.stalled
    assert report.unfinished == 1


def test_a_dead_agent_does_not_hold_up_another(tmp_path: Path) -> None:
    rows = [row(number, "alpha") for number in range(40)] + [row(number, "beta") for number in range(40)]
    spec = spec_of(tmp_path, rows, concurrency=8, stall_s=0.3)
    report = collected_from(spec, Outage({"alpha"}))
    assert report.agents["beta"].done == 40
    assert (report.done, report.unfinished) == (40, 40)
    assert report.stalled


def test_a_hanging_server_ends_by_deadlines(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 40, concurrency=8, deadline_s=0.15, stall_s=0.3, max_attempts=2)
    report = collected(spec, Agents(slow=lambda item: 60.0))
    assert report.done == 0
    assert report.exit_code == 1
    assert report.stalled or report.failed == 40


def test_retries_are_within_the_budget(tmp_path: Path) -> None:
    agents = Agents(lambda _, item: web.Response(status=500) if item["n"] % 2 else None)
    spec = spec_of(tmp_path, 400, concurrency=4, max_attempts=1)
    report = collected(spec, agents)
    assert (report.done, report.failed) == (200, 200)
    assert report.retries <= 32 + 0.1 * 200
