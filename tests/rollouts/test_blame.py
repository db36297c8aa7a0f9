"""One bad row is one bad row, and an illness of the model is nobody's failure."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rollout_stack import Agents, collected, keys, read, row, spec_of

from gymctl.rollouts import agent_health, events
from gymctl.rollouts.collector import collect
from gymctl.rollouts.report import Report
from gymctl.rollouts.spec import RunSpec
from gymctl.server import Call, Client, HopFailed, Reply

pytestmark = pytest.mark.usefixtures("quick")


def upstream(status: int, body: str = "no", path: str = "/v1/responses") -> web.Response:
    """What an agent answers whose model endpoint answered like that."""
    cause = {"hop": "policy_model", "path": path, "status": status, "body": body, "kind": "status"}
    return web.json_response({"detail": f"policy_model: POST {path} answered {status}", "cause": cause}, status=502)


class Crashing:
    """An agent's server that some rows end, with all that it has at the time, and that comes back after a moment."""

    def __init__(self, bad: set[int], kind: str = "reset", back_after_s: float = 0.03) -> None:
        self.bad, self.kind, self._back_after_s = bad, kind, back_after_s
        self._life = 0
        self._back_at = 0.0
        self.crashes = 0
        self.calls: Counter[int] = Counter()

    async def send(self, server: str, call: Call) -> Reply:
        if call.path != "/run":
            return Reply(404)
        number = json.loads(call.body)["n"]
        self.calls[number] += 1
        if time.monotonic() < self._back_at:
            raise HopFailed(server, call.path, kind="connect", body="refused")
        life = self._life
        await asyncio.sleep(0.005)
        if number in self.bad and life == self._life:
            self._life += 1
            self.crashes += 1
            self._back_at = time.monotonic() + self._back_after_s
        if life != self._life:
            raise HopFailed(server, call.path, kind=self.kind, body="gone")
        return Reply(200, b'{"reward": 1.0}')

    async def close(self) -> None:
        """Nothing to close."""


def collected_from(spec: RunSpec, transport: Any, seen: list[events.Event] | None = None) -> Report:
    async def work() -> Report:
        take = seen.append if seen is not None else lambda event: None
        return await collect(spec, Client(transport), on_event=take, stop=asyncio.Event())

    return asyncio.run(work())


@pytest.mark.parametrize("kind", ["reset", "session_lost"])
@pytest.mark.parametrize("bad", [{3}, {0, 7, 40}, {59}])
def test_rows_that_end_their_server_fail_and_no_neighbour_does(tmp_path: Path, bad: set[int], kind: str) -> None:
    spec = spec_of(tmp_path, 60, concurrency=16)
    report = collected_from(spec, Crashing(bad, kind))
    final = {item["_ng_task_index"] for item in read(spec.files.failures) if item["_ng_failure_terminal"]}
    assert final == bad
    assert (report.done, report.failed, report.unfinished) == (60 - len(bad), len(bad), 0)
    assert sorted(keys(read(spec.output))) == [(task, 0) for task in range(60) if task not in bad]


def test_attempts_of_a_row_that_ends_its_server_add_up_over_sessions(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 30, concurrency=8, stall_s=0.05)
    transport = Crashing({4})
    for _ in range(12):
        report = collected_from(spec, transport)
        spec = replace(spec, resume=True)
        if not report.unfinished:
            break
    assert (report.done, report.failed, report.unfinished) == (29, 1, 0)
    assert transport.crashes < 15


@pytest.mark.parametrize("status", [429, 503])
def test_a_row_that_is_always_refused_fails_in_the_end(tmp_path: Path, status: int) -> None:
    spec = spec_of(tmp_path, 20, concurrency=4)
    seen: list[events.Event] = []
    report = collected(
        spec, Agents(lambda _, item: web.Response(status=status) if item["n"] == 7 else None), seen.append
    )
    assert (report.done, report.failed, report.unfinished) == (19, 1, 0)
    assert any(isinstance(event, events.RunNote) and "repeating a finished rollout" in event.text for event in seen)
    assert sorted(keys(read(spec.output))) == [(task, 0) for task in range(20) if task != 7]


def test_refusals_add_up_over_sessions(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 6, concurrency=2, stall_s=0.1)
    agents = Agents(lambda _, item: web.Response(status=503) if item["n"] == 3 else None)
    for _ in range(12):
        report = collected(spec, agents)
        spec = replace(spec, resume=True)
        if not report.unfinished:
            break
    assert (report.done, report.failed, report.unfinished) == (5, 1, 0)
    again = collected(spec, agents)
    assert (again.failed, again.unfinished) == (1, 0)
    assert collected(replace(spec, retry_failed=True), Agents()).done == 6


def test_an_outage_at_the_end_fails_nobody(tmp_path: Path) -> None:
    """The last rows are refused for long, and so is the control: that is no row's doing."""
    back_at: list[float] = []

    def misbehave(agents: Agents, item: dict[str, Any]) -> web.Response | None:
        if len(agents.served) >= 15 and not back_at:
            back_at.append(time.monotonic() + 1.0)
        return web.Response(status=503) if back_at and time.monotonic() < back_at[0] else None

    spec = spec_of(tmp_path, 20, concurrency=2)
    report = collected(spec, Agents(misbehave))
    assert (report.done, report.failed, report.unfinished) == (20, 0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: upstream(401),
        lambda: upstream(404),
        lambda: upstream(302),
        lambda: upstream(200, "<html>maintenance</html>"),
        lambda: web.Response(body=b"<html>"),
        lambda: web.Response(status=403),
    ],
)
@pytest.mark.parametrize("begins", [40, 0, 195])
def test_a_short_illness_costs_no_row(tmp_path: Path, answer: Callable[[], web.Response], begins: int) -> None:
    ill: list[float] = []

    def misbehave(agents: Agents, item: dict[str, Any]) -> web.Response | None:
        if len(agents.served) >= begins and not ill:
            ill.append(time.monotonic() + 0.4)
        return answer() if ill and time.monotonic() < ill[0] else None

    spec = spec_of(tmp_path, 200, concurrency=16)
    agents = Agents(misbehave)
    report = collected(spec, agents)
    assert (report.done, report.failed, report.unfinished) == (200, 0, 0)
    assert sum(agents.served.values()) < 300


@pytest.mark.parametrize("share", [1, 2, 7])
def test_bad_rows_among_good_ones_fail_for_good(tmp_path: Path, share: int) -> None:
    spec = spec_of(tmp_path, 60, concurrency=4)
    bad = [n for n in range(60) if n % 10 < share]
    report = collected(spec, Agents(lambda _, item: web.Response(status=422) if item["n"] in bad else None))
    assert (report.done, report.failed, report.unfinished) == (60 - len(bad), len(bad), 0)


def test_a_wrong_key_stops_the_run_after_a_handful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_health, "_SETUP_S", 0.2)
    spec = spec_of(tmp_path, 500, concurrency=8)
    agents = Agents(lambda _, item: upstream(401, "Incorrect API key"))
    report = collected(spec, agents)
    assert (report.done, report.failed, report.unfinished, report.exit_code) == (0, 0, 500, 1)
    assert "check the API key of policy_model" in report.stalled
    assert sum(agents.served.values()) < 60
    assert not any(item["_ng_failure_terminal"] for item in read(spec.files.failures))
    assert collected(replace(spec, resume=True), Agents()).done == 500


def test_a_wrong_key_stops_a_run_of_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_health, "_SETUP_S", 0.2)
    report = collected(spec_of(tmp_path, 1), Agents(lambda _, item: upstream(404)))
    assert (report.failed, report.unfinished) == (0, 1)
    assert "base URL" in report.stalled


@pytest.mark.parametrize(
    ("kind", "status", "text", "cure"),
    [
        ("connect", 0, "Name or service not known", "cannot be resolved"),
        ("connect", 0, "what listens there is not an HTTP server", "scheme"),
        ("connect", 0, "certificate verify failed", "--ca-bundle"),
        ("reset", 0, "Server disconnected", "scheme"),
        ("no_answer", 200, "the answer is a page (HTML or XML), not JSON", "OpenAI-style API"),
    ],
)
def test_an_address_that_never_answers_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, status: int, text: str, cure: str
) -> None:
    monkeypatch.setattr(agent_health, "_WAITS_S", {kind: 0.2})
    cause = {"hop": "policy_model", "path": "/v1/responses", "kind": kind, "body": text, "status": status}
    detail = {"detail": f"policy_model: POST /v1/responses: {text}", "cause": cause}
    report = collected(
        spec_of(tmp_path, 40, max_attempts=9), Agents(lambda _, item: web.json_response(detail, status=502))
    )
    assert (report.failed, report.unfinished) == (0, 40)
    assert cure in report.stalled


@pytest.mark.parametrize(("most", "failed"), [("3", 4), ("5%", 6), ("0", 1)])
def test_no_more_failures_than_asked_for(tmp_path: Path, most: str, failed: int) -> None:
    rows = [row(number) for number in range(100)]
    spec = spec_of(tmp_path, rows, concurrency=1, max_failures=most)
    report = collected(spec, Agents(lambda _, item: web.Response(status=422) if item["n"] % 2 else None))
    assert report.failed == failed
    assert report.unfinished > 0
    assert "--max-failures" in report.stalled


@pytest.mark.parametrize("name", ["rate_limited", "connect", "unavailable", "session_lost", "reset", "rejected"])
def test_a_failure_that_an_environment_declares_is_its_own_whatever_its_name(tmp_path: Path, name: str) -> None:
    body = json.dumps({"reward": 0, "_ng_failure_class": name}).encode()
    spec = spec_of(tmp_path, 8, concurrency=4, max_attempts=2)
    report = collected(spec, Agents(lambda _, item: web.Response(body=body) if item["n"] == 3 else None))
    assert (report.done, report.failed, report.unfinished) == (7, 1, 0)
    failures = read(spec.files.failures)
    assert [item["_ng_attempt_index"] for item in failures] == [0, 1]
    again = collected(replace(spec, resume=True), Agents())
    assert (again.done, again.failed) == (7, 1)


@pytest.mark.parametrize("rows", [1, 40])
def test_a_server_that_asks_for_long_pauses_ends_the_run_by_its_stall(tmp_path: Path, rows: int) -> None:
    spec = spec_of(tmp_path, rows, concurrency=4, stall_s=0.3)
    agents = Agents(lambda _, item: web.Response(status=429, headers={"Retry-After": "50"}))
    report = collected(spec, agents)
    assert "Aborted after 0.3 s" in report.stalled
    assert (report.failed, report.unfinished) == (0, rows)
    assert sum(agents.served.values()) < 10
