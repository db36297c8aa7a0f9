"""The report page at the end of a collection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gymctl.operations import report as operation
from gymctl.rollouts.events import RunNote
from gymctl.rollouts.report import Report
from gymctl.rollouts.spec import RunSpec


def a_run(folder: Path, text: str = "") -> RunSpec:
    output = folder / "rollouts.jsonl"
    row = {"reward": 0.5, "_ng_task_index": 0, "_ng_rollout_index": 0, "agent_ref": {"name": "a"}, "response": {}}
    output.write_text(text or json.dumps(row) + "\n")
    return RunSpec(input=folder / "rows.jsonl", output=output, pass_threshold=0.5)


def add(run: RunSpec, report: Report) -> list[object]:
    events: list[object] = []
    operation.add_report_page(report, run, events.append)
    return events


def test_it_is_written_next_to_the_results_and_named_in_the_report(tmp_path: Path) -> None:
    report = Report(total=1, done=1)
    assert add(a_run(tmp_path), report) == []
    assert report.files == {"report": str(tmp_path / "rollouts_report.html")}
    assert (tmp_path / "rollouts_report.html").stat().st_size > 10_000


def test_an_interrupted_run_and_one_without_results_have_none(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    add(run, Report(interrupted=True))
    run.output.unlink()
    add(run, Report())
    assert list(tmp_path.iterdir()) == []


def test_results_that_take_long_to_index_leave_it_out_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "_MOST_S", -1.0)
    report = Report(total=1, done=1)
    run = a_run(tmp_path)
    (note,) = add(run, report)
    reason = "no report was written, because the results are large"
    assert report.notes == [f"{reason}. To write it: gymctl report {run.output}"]
    assert isinstance(note, RunNote)
    assert note.text == report.notes[0]
    assert report.files == {}


def test_what_goes_wrong_is_a_note_and_not_the_end_of_the_run(tmp_path: Path) -> None:
    report = Report(total=1, done=1)
    add(a_run(tmp_path, "not JSON\n"), report)
    assert "not a JSON object" in report.notes[0]
    assert not (tmp_path / "rollouts_report.html").exists()
