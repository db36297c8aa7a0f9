"""One output, one collector; and an output that somebody else changes is noticed."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rollout_stack import Agents, collected, keys, read, row, serving, spec_of, write_rows

from gymctl.errors import InputError, RunError
from gymctl.rollouts import files, run_lock
from gymctl.rollouts.collector import collect
from gymctl.rollouts.report import Report
from gymctl.rollouts.run_lock import RunLock
from gymctl.rollouts.spec import RunSpec


def both(first: RunSpec, second: RunSpec) -> list[Report | BaseException]:
    """Two collections in one process that start together."""

    async def work() -> list[Report | BaseException]:
        async with serving(Agents(slow=lambda item: 0.01)) as client:
            runs = (
                collect(spec, client, on_event=lambda event: None, stop=asyncio.Event()) for spec in (first, second)
            )
            return await asyncio.gather(*runs, return_exceptions=True)

    return asyncio.run(work())


@pytest.mark.parametrize("second", [{}, {"force": True}, {"resume": True}, {"output": "out.json"}])
@pytest.mark.parametrize("holds_work", [False, True])
def test_of_two_that_start_together_one_is_refused(tmp_path: Path, second: dict[str, object], holds_work: bool) -> None:
    spec = spec_of(tmp_path, 40)
    if holds_work:
        collected(spec, Agents())
    options = {**second, **({"output": tmp_path / str(second["output"])} if "output" in second else {})}
    rows = range(40) if "resume" in second else range(100, 130)
    others = write_rows(tmp_path / "others.jsonl", [row(number) for number in rows])
    other = replace(spec, input=others, **options)  # type: ignore[arg-type]
    outcomes = both(spec, other)
    reports = [
        (mine, outcome) for mine, outcome in zip((spec, other), outcomes, strict=True) if isinstance(outcome, Report)
    ]
    refused = [outcome for outcome in outcomes if isinstance(outcome, RunError | InputError)]
    assert len(reports) + len(refused) == 2, outcomes
    assert reports or "output" in second  # which is refused for its files too, when it is the first
    assert len(reports) < 2
    for mine, report in reports:
        assert report.exit_code == 0
        assert sorted(keys(read(mine.output))) == sorted(keys(read(mine.files.materialized)))
        assert len(read(mine.output)) == report.done


def test_a_refusal_names_who_writes_and_how_to_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(tmp_path, 3)
    lock = RunLock(spec.files)
    lock.write({"identity": {}})
    with pytest.raises(RunError, match=rf"process {os.getpid()} .*kill -INT {os.getpid()}"):
        RunLock(spec.files)
    monkeypatch.setenv(run_lock.CONTAINER_VARIABLE, "mine-collect-1")
    lock.write({"identity": {}})
    with pytest.raises(RunError, match=r"container mine-collect-1.*docker stop .*mine-collect-1"):
        RunLock(spec.files)
    lock.release()
    RunLock(spec.files).release()


def test_a_refused_input_leaves_no_lock_behind(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, [{"n": 1}])
    with pytest.raises(InputError):
        collected(spec, Agents())
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_shorter_record_takes_the_place_of_a_longer_one(tmp_path: Path) -> None:
    lock = RunLock(spec_of(tmp_path, 1).files)
    lock.write({"identity": {"input": "x" * 5000}})
    lock.write({"identity": {"input": "y"}})
    assert (lock.read() or {})["identity"] == {"input": "y"}
    lock.release()


def _removed(path: Path) -> None:
    path.unlink()


def _renamed(path: Path) -> None:
    path.rename(path.with_name("elsewhere.jsonl"))


def _replaced(path: Path) -> None:
    path.with_name("new").write_text("{}\n")
    path.with_name("new").replace(path)


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 10)


def changed_midway(spec: RunSpec, change: Callable[[Path], None]) -> str:
    """What a run says whose output is changed when it has some results."""
    changed: list[float] = []

    def slow(item: dict[str, object]) -> float:
        if not changed and len(read(spec.output)) >= 10:
            change(spec.output)
            changed.append(time.monotonic())
        return 0.02

    with pytest.raises(RunError) as error:
        collected(spec, Agents(slow=slow))
    return str(error.value)


@pytest.mark.parametrize("change", [_removed, _renamed, _replaced])
def test_results_of_a_file_that_lost_its_name_are_kept(tmp_path: Path, change: Callable[[Path], None]) -> None:
    spec = spec_of(tmp_path, 2000, concurrency=4)
    message = changed_midway(spec, change)
    assert "removed or renamed" in message
    assert "--resume" in message
    saved = next(path for path in tmp_path.iterdir() if str(path) in message and path != spec.output)
    assert len(read(saved)) >= 10
    saved.replace(spec.output)
    report = collected(replace(spec, resume=True, limit=None), Agents())
    assert (report.done, len(read(spec.output))) == (2000, 2000)


def test_results_survive_the_removal_of_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "of today"
    folder.mkdir(parents=True)
    spec = replace(spec_of(tmp_path, 2000, concurrency=4), output=folder / "out.jsonl")
    message = changed_midway(spec, lambda path: shutil.rmtree(path.parents[1]))
    assert str(folder / "out.removed1.jsonl") in message
    assert len(read(folder / "out.removed1.jsonl")) >= 10


@pytest.mark.parametrize("change", [_emptied, _shortened])
def test_a_shortened_output_ends_the_run_and_is_collected_again(tmp_path: Path, change: Callable[[Path], None]) -> None:
    spec = spec_of(tmp_path, 300, concurrency=4)
    message = changed_midway(spec, change)
    assert "emptied or truncated" in message
    report = collected(replace(spec, resume=True), Agents())
    assert sorted(keys(read(spec.output))) == [(task, 0) for task in range(300)]
    assert report.done == 300


def test_an_output_removed_when_all_is_done_is_noticed_too(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 12, concurrency=4)
    with pytest.raises(RunError, match="removed"):
        collected(spec, Agents(), lambda event: spec.output.unlink(missing_ok=True))


@pytest.mark.processes
@pytest.mark.parametrize("unnamed", [True, False])
def test_no_temporary_file_is_left_after_a_kill(tmp_path: Path, unnamed: bool) -> None:
    code = f"""
import os, signal
from pathlib import Path
from gymctl.rollouts import files
if not {unnamed}:
    del os.O_TMPFILE
with files.replacing(Path("out.jsonl")) as out:
    out.write(b"half")
    out.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    if unnamed:
        assert list(tmp_path.iterdir()) == []
    files.remove_stale_temporaries((tmp_path / "out.jsonl",))
    assert list(tmp_path.iterdir()) == []
