"""A run that was killed, cut or stopped goes on to the same end as one that was not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_stack import Agents, collected, keys, read, row, serving, spec_of

from gymctl.errors import InputError
from gymctl.rollouts import events
from gymctl.rollouts.collector import collect
from gymctl.rollouts.container_job import CollectionJob
from gymctl.rollouts.progress import replay
from gymctl.rollouts.report import Report
from gymctl.rollouts.spec import RunSpec

pytestmark = pytest.mark.usefixtures("quick")


def without_timing(path: Path) -> list[dict[str, Any]]:
    rows = [{name: value for name, value in item.items() if name != "_gymctl_timing"} for item in read(path)]
    return sorted(rows, key=lambda item: (item["_ng_task_index"], item["_ng_rollout_index"]))


@pytest.mark.parametrize("cut", [0, 1, 7, 300, 1001])
def test_resumed_equals_uninterrupted(tmp_path: Path, cut: int) -> None:
    spec = spec_of(tmp_path, 12, num_repeats=2)
    collected(spec, Agents())
    whole = without_timing(spec.output)
    data = spec.output.read_bytes()
    spec.output.write_bytes(data[: len(data) - cut])
    left = len(spec.output.read_bytes().splitlines(keepends=True)) - (cut > 0)
    agents = Agents()
    seen: list[events.Event] = []
    report = collected(replace(spec, resume=True), agents, seen.append)
    assert without_timing(spec.output) == whole
    assert sum(agents.served.values()) <= 24 - left + 1
    assert report.done == 24
    assert report.already_done + sum(agents.served.values()) == 24
    torn = any(isinstance(event, events.RunNote) and "incomplete last line" in event.text for event in seen)
    assert torn == (cut > 0)


@settings(max_examples=12, deadline=None)
@given(cut=st.integers(0, 3000), junk=st.binary(max_size=40))
def test_any_tail_is_repaired(tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes) -> None:
    folder = tmp_path_factory.mktemp("run")
    spec = spec_of(folder, 6, num_repeats=2)
    collected(spec, Agents())
    data = spec.output.read_bytes()
    spec.output.write_bytes(data[: max(0, len(data) - cut)] + junk)
    collected(replace(spec, resume=True, concurrency=16), Agents())
    results = read(spec.output)
    assert sorted(keys(results)) == [(task, repeat) for task in range(6) for repeat in range(2)]


@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, 4000), byte=st.binary(min_size=1, max_size=3), file=st.sampled_from(("output", "failures")))
def test_a_file_with_damage_in_it_is_resumed(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: bytes, file: str
) -> None:
    spec = spec_of(tmp_path_factory.mktemp("run"), 6, num_repeats=2)
    collected(spec, Agents())
    path = {"output": spec.output, "failures": spec.files.failures}[file]
    data = path.read_bytes()
    place %= len(data) + 1
    path.write_bytes(data[:place] + byte + data[place + len(byte) :])
    collected(replace(spec, resume=True), Agents())
    results = read(spec.output)  # each line is valid UTF-8 and valid JSON again
    rollouts = {(task, repeat) for task in range(6) for repeat in range(2)}
    assert rollouts <= set(keys(results))  # damage to the digits of an index can make a result that of another row


def test_a_result_with_invalid_text_is_done_again(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 3)
    collected(spec, Agents())
    lines = spec.output.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"response"', b'"resp\xd9nse"')
    spec.output.write_bytes(b"".join(lines))
    agents = Agents()
    seen: list[events.Event] = []
    collected(replace(spec, resume=True), agents, seen.append)
    assert sum(agents.served.values()) == 1
    assert len(read(spec.output)) == 3
    assert any(isinstance(event, events.RunNote) and "removed 1 broken lines" in event.text for event in seen)


def test_results_that_repeat_a_rollout_are_noted(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 4)
    collected(spec, Agents())
    spec.output.write_bytes(spec.output.read_bytes() * 2)
    seen: list[events.Event] = []
    collected(replace(spec, resume=True), Agents(), seen.append)
    assert any(isinstance(event, events.RunNote) and "4 results repeat a rollout" in event.text for event in seen)


def test_duplicates_are_counted_once(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 4, order="input")
    collected(spec, Agents())
    spec.output.write_bytes(spec.output.read_bytes() * 2)
    agents = Agents()
    report = collected(replace(spec, resume=True), agents)
    assert not agents.seen
    assert (report.total, report.done, report.already_done) == (4, 4, 4)
    assert report.agents["alpha"].done == 4
    assert keys(read(spec.output)) == [(0, 0), (1, 0), (2, 0), (3, 0)]


def test_final_failures_stay_final_until_asked_for(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 5)
    collected(spec, Agents(lambda _, item: web.Response(status=400) if item["n"] == 1 else None))
    agents = Agents()
    report = collected(replace(spec, resume=True), agents)
    assert not agents.seen
    assert (report.done, report.failed, report.unfinished) == (4, 1, 0)
    report = collected(replace(spec, resume=True, retry_failed=True), agents)
    assert (report.done, report.failed) == (5, 0)


def test_used_up_attempts_come_back_with_a_higher_number(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 3, max_attempts=1)
    assert collected(spec, Agents(lambda _, item: web.Response(status=500) if item["n"] == 1 else None)).failed == 1
    assert collected(replace(spec, resume=True), Agents()).failed == 1
    assert collected(replace(spec, resume=True, max_attempts=2), Agents()).done == 3


def answering(body: dict[str, object], status: int = 200) -> Agents:
    """Agents that answer this to row 1, and a result to all others."""
    return Agents(lambda _, item: web.json_response(body, status=status) if item["n"] == 1 else None)


def test_what_the_environment_calls_terminal_is_so_on_resume_too(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 3)
    report = collected(spec, answering({"_ng_failure_class": "judge_failed", "_ng_failure_terminal": True}))
    assert (report.failed, len(read(spec.files.failures))) == (1, 1)
    agents = Agents()
    report = collected(replace(spec, resume=True), agents)
    assert (report.done, report.failed, report.unfinished, agents.seen) == (2, 1, 0, [])
    assert collected(replace(spec, resume=True, retry_failed=True), agents).done == 3


def test_a_lost_session_uses_up_no_attempt_on_resume_either(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 3, max_attempts=1, stall_s=0.2)
    report = collected(spec, answering({"cause": {"kind": "session_lost"}}, status=502))
    assert {item["_ng_failure_class"] for item in read(spec.files.failures)} == {"session_lost"}
    assert (report.done, report.failed, report.unfinished) == (2, 0, 1)
    report = collected(replace(spec, resume=True), Agents())
    assert (report.done, report.failed) == (3, 0)


@pytest.mark.parametrize("order", ["completion", "input"])
def test_rollouts_of_other_inputs_are_kept_and_not_counted(
    tmp_path: Path, order: Literal["completion", "input"]
) -> None:
    spec = spec_of(tmp_path, 6)
    collected(spec, Agents(lambda _, item: web.Response(status=400) if item["n"] == 5 else None))
    agents = Agents()
    fewer = replace(spec, limit=3, num_repeats=2, resume=True, force=True, order=order)
    report = collected(fewer, agents)
    assert (report.total, report.done, report.already_done, report.failed, report.unfinished) == (6, 6, 3, 0, 0)
    assert report.agents["alpha"].done == 6
    assert sum(agents.served.values()) == 3
    finished = keys(read(spec.output))
    assert sorted(finished) == [(task, repeat) for task in range(3) for repeat in range(2)] + [(3, 0), (4, 0)]
    if order == "input":
        assert finished == sorted(finished)
    assert any("2 rollouts belong to other inputs" in note for note in report.notes)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_repeats": 3}, "options.num_repeats: 1 -> 3"),
        ({"limit": 2}, "options.limit: null -> 2"),
        ({"identity": {"config": "other"}}, "config: abc -> other"),
        ({"params_override": {"temperature": 1}}, "responses_create_params.temperature"),
    ],
)
def test_another_run_is_not_resumed(tmp_path: Path, change: dict[str, object], named: str) -> None:
    spec = spec_of(tmp_path, 4, identity={"config": "abc"})
    collected(spec, Agents())
    before = spec.output.read_bytes()
    other = replace(spec, resume=True, **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=named.replace(".", r"\.")):
        collected(other, Agents())
    assert spec.output.read_bytes() == before
    assert collected(replace(other, force=True), Agents()).exit_code == 0


def test_changed_input_is_named(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 4)
    collected(spec, Agents())
    spec_of(tmp_path, 5)
    with pytest.raises(InputError, match="the rows of the input have changed"):
        collected(replace(spec, resume=True), Agents())


def test_a_value_of_the_configuration_that_changed_is_named(tmp_path: Path) -> None:
    def manifest(rows: int, key: str) -> dict[str, object]:
        entry = {"max_rows": rows, "api_key": key, "hosts": ["a", "b"]}
        return {"command": ["gymctl", "collect"], "configuration": {"x": {"servers": [entry]}}}

    spec = spec_of(tmp_path, 4, identity={"config": "abc"})
    collected(replace(spec, manifest=manifest(10, "****")), Agents())
    other = replace(spec, resume=True, identity={"config": "abd"}, manifest=manifest(11, "****"))
    with pytest.raises(InputError) as refusal:
        collected(other, Agents())
    assert "belongs to another run: x.servers.0.max_rows: 10 -> 11;" in str(refusal.value)
    assert "abc" not in str(refusal.value)
    collected(replace(other, force=True), Agents())
    record = json.loads(spec.files.identity.read_text())
    assert record["configuration"]["x"]["servers"][0]["max_rows"] == 11
    (earlier,) = record["history"]
    assert earlier["configuration"]["x"]["servers"][0]["max_rows"] == 10
    assert earlier["identity"]["config"] == "abc"
    collected(replace(spec, resume=True, force=True, manifest=manifest(10, "****")), Agents())
    record = json.loads(spec.files.identity.read_text())
    assert [item["identity"]["config"] for item in record["history"]] == ["abc", "abd"]


def test_the_record_of_a_run_has_its_end_and_its_totals(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 4, manifest={"versions": {"python": "3"}, "images": {"alpha": "sha256:0"}})
    collected(spec, Agents())
    record = json.loads(spec.files.identity.read_text())
    assert record["images"] == {"alpha": "sha256:0"}
    assert record["started"] <= record["ended"]
    assert (record["totals"]["total"], record["totals"]["done"], record["totals"]["unfinished"]) == (4, 4, 0)
    collected(replace(spec, resume=True), Agents())
    again = json.loads(spec.files.identity.read_text())
    assert (again["run"], again["started"]) == (record["run"], record["started"])
    assert "history" not in again


def test_nothing_to_resume_is_a_fresh_start(tmp_path: Path) -> None:
    report = collected(spec_of(tmp_path, 2, resume=True), Agents())
    assert report.done == 2
    assert any("nothing to resume" in note for note in report.notes)


def test_a_new_run_keeps_the_old_results(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 2)
    collected(spec, Agents())
    old = spec.output.read_bytes()
    collected(spec, Agents())
    assert (tmp_path / "out.1.jsonl").read_bytes() == old
    assert len(read(spec.output)) == 2
    collected(replace(spec, force=True), Agents())
    assert not (tmp_path / "out.2.jsonl").exists()


def test_outputs_that_differ_in_their_suffix_do_not_share_files(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 2)
    collected(spec, Agents())
    collected(spec, Agents())  # the first is kept as out.1.jsonl
    other = replace(spec, output=tmp_path / "out.json")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for run in (other, replace(other, resume=True)):
        with pytest.raises(InputError, match=r"out\.json would share files with \S+out\.jsonl, .*--force"):
            collected(run, Agents())
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    aside = replace(spec, output=tmp_path / "out.1.jsonl", resume=True)
    assert collected(aside, Agents()).already_done == 2  # though its record still has the first name
    assert collected(replace(other, force=True), Agents()).done == 2
    assert spec.output.exists()


def test_stop_lets_what_runs_finish_and_resume_goes_on(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 40, concurrency=4)
    agents = Agents(slow=lambda item: 0.02)

    async def stopped_after(number: int) -> Report:
        stop = asyncio.Event()
        count = 0

        def on_event(event: events.Event) -> None:
            nonlocal count
            count += isinstance(event, events.Finished)
            if count >= number:
                stop.set()

        async with serving(agents) as client:
            return await collect(spec, client, on_event=on_event, stop=stop)

    report = asyncio.run(stopped_after(10))
    assert report.interrupted
    assert report.exit_code == 130
    assert len(agents.seen) == report.done == len(read(spec.output)) < 40
    assert collected(replace(spec, resume=True), agents).done == 40
    assert set(agents.served.values()) == {1}


@pytest.mark.parametrize("aborted", [True, False])
def test_a_hanging_rollout_does_not_hold_up_a_stop(tmp_path: Path, aborted: bool) -> None:
    spec = spec_of(tmp_path, 6, concurrency=2, grace_s=60.0 if aborted else 0.05)
    agents = Agents(slow=lambda item: 30.0 if item["n"] == 2 else 0.0)

    async def stopped() -> Report:
        stop, abort = asyncio.Event(), asyncio.Event()

        def on_event(event: events.Event) -> None:
            if isinstance(event, events.Finished) and len(agents.seen) == 6:
                stop.set()
                if aborted:
                    abort.set()

        async with serving(agents) as client:
            return await collect(spec, client, on_event=on_event, stop=stop, abort=abort)

    report = asyncio.run(stopped())
    assert report.interrupted
    assert (report.done, report.failed, report.unfinished) == (5, 0, 1)
    assert read(spec.files.failures) == []


def test_a_job_needs_only_what_a_server_image_has() -> None:
    check = (
        "import sys, gymctl.rollouts.container_job; "
        "print({'typer', 'rich', 'docker', 'fastapi', 'jinja2'} & set(sys.modules))"
    )
    root = Path(__file__).resolve().parents[2]
    check_result = subprocess.run([sys.executable, "-c", check], cwd=root, capture_output=True, text=True, check=True)
    assert check_result.stdout.strip() == "set()"


def job_for(spec: RunSpec, urls: dict[str, str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "GYMCTL_JOB": CollectionJob(spec, urls).encode().decode()}
    command = [sys.executable, "-m", "gymctl.rollouts.container_job"]
    root = str(Path(__file__).resolve().parents[2])
    return subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def in_job(spec: RunSpec, agents: Agents, send: signal.Signals | None, after: int) -> tuple[int, list[bytes]]:
    """Run a job in a process of its own, and send it a signal once ``after`` rollouts were served."""

    async def work() -> tuple[int, list[bytes]]:
        async with serving(agents) as client:
            urls = client._transport._bases  # type: ignore[attr-defined]
            process = job_for(spec, dict(urls))
            output = asyncio.create_task(asyncio.to_thread(process.communicate))
            give_up = time.monotonic() + 20
            while send and len(agents.seen) < after and time.monotonic() < give_up:
                await asyncio.sleep(0.005)
            if send:
                process.send_signal(send)
            lines, _ = await output
            return process.returncode, lines.splitlines()

    return asyncio.run(work())


def test_a_job_reports_events_and_its_end(tmp_path: Path) -> None:
    code, lines = in_job(spec_of(tmp_path, 20), Agents(), None, 0)
    seen: list[events.Event] = []
    end = replay(lines, seen.append)
    assert code == 0
    assert isinstance(end, events.Ended)
    assert Report.from_json(end.report).done == 20
    assert seen[0] == events.Started(20, 0, 0)
    assert sum(event.count for event in seen if isinstance(event, events.Finished)) == 20


def test_a_job_with_a_broken_row_exits_2(tmp_path: Path) -> None:
    code, lines = in_job(spec_of(tmp_path, [row(0, "gamma")]), Agents(), None, 0)
    end = replay(lines, lambda event: None)
    assert code == 2
    assert isinstance(end, events.Crashed)
    assert "gamma" in end.message


def test_a_killed_job_is_resumed(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 60, concurrency=4)
    agents = Agents(slow=lambda item: 0.01)
    in_job(spec, agents, signal.SIGKILL, 25)
    written = keys(read(spec.output))
    assert len(written) == len(set(written)) < 60
    report = collected(replace(spec, resume=True), agents)
    assert report.done == 60
    assert report.already_done == len(written)
    assert sorted(keys(read(spec.output))) == [(task, 0) for task in range(60)]


def test_an_interrupted_job_exits_130(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 200, concurrency=2)
    agents = Agents(slow=lambda item: 0.02)
    code, lines = in_job(spec, agents, signal.SIGINT, 5)
    end = replay(lines, lambda event: None)
    assert code == 130
    assert isinstance(end, events.Ended)
    assert end.report["done"] == len(read(spec.output)) == len(agents.seen)
