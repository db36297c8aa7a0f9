"""A disk that fills up during a run ends it, and what was reported stays."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rollout_stack import Agents, collected, keys, read, spec_of
from test_journal import files_of_at_most

from gymctl.errors import RunError
from gymctl.rollouts import events


def test_the_run_ends_with_what_is_safe_and_goes_on_later(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 60)
    seen: list[events.Event] = []
    with files_of_at_most(12_000), pytest.raises(RunError, match="safely written"):
        collected(spec, Agents(), seen.append)
    written = keys(read(spec.output))
    assert len(written) == sum(isinstance(event, events.Finished) for event in seen) > 0
    assert spec.output.read_bytes().endswith(b"\n")
    report = collected(replace(spec, resume=True), Agents())
    assert (report.done, report.already_done) == (60, len(written))


def test_no_room_for_the_inputs_leaves_nothing(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 60)
    with files_of_at_most(1000), pytest.raises(RunError, match="nothing was written"):
        collected(spec, Agents())
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_no_room_for_another_file_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(tmp_path, 60)
    opened = os.open

    def full(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path) == str(spec.output):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(RunError, match=r"disk of .* is full: no rollout was collected"):
        collected(spec, Agents())
