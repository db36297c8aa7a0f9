"""Changes of a stack are recorded with their outcome; what has changed nothing is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gymctl.config import EngineKind
from gymctl.engines import history as history_file
from gymctl.engines.history import read_history, record_change
from gymctl.engines.state import StackState, save_state
from gymctl.errors import EngineError, InputError
from gymctl.operations.rollback import rollback
from gymctl.operations.stack_change import history, stack_change
from gymctl.operations.up import drain_timeout

pytestmark = pytest.mark.unit


def start(directory: Path, engine: str = "compose") -> None:
    save_state(directory, StackState(engine=engine, name="demo", head_url="", servers=(), compose_file="compose.yaml"))


def test_each_change_is_one_line_with_its_outcome(tmp_path: Path) -> None:
    start(tmp_path)
    with stack_change(tmp_path, "gymctl up") as detail:
        detail.text = "2 replaced"
    with pytest.raises(EngineError), stack_change(tmp_path, "gymctl up"):
        raise EngineError("a server failed", "look at its log")
    with pytest.raises(KeyboardInterrupt), stack_change(tmp_path, "gymctl scale"):
        raise KeyboardInterrupt
    with pytest.raises(InputError), stack_change(tmp_path, "gymctl up") as detail:
        detail.text = "nothing"
        raise InputError("wrong")
    changes = history(tmp_path)
    assert [(change.command, change.outcome, change.detail) for change in changes] == [
        ("gymctl up", "done", "2 replaced"),
        ("gymctl up", "failed", "a server failed"),
        ("gymctl scale", "interrupted", "interrupted"),
    ]
    assert {change.stack for change in changes} == {"demo"}
    assert len((tmp_path / ".gymctl" / "history.jsonl").read_text().splitlines()) == 3


def test_without_a_stack_nothing_is_recorded_or_left(tmp_path: Path) -> None:
    with pytest.raises(EngineError), stack_change(tmp_path, "gymctl up"):
        raise EngineError("no engine", "start it")
    assert history(tmp_path) == []
    assert not (tmp_path / ".gymctl").exists()


def test_the_history_is_bounded_and_lines_that_are_cut_off_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_file, "_MOST_LINES", 3)
    start(tmp_path)
    for number in range(8):
        with stack_change(tmp_path, "gymctl up") as detail:
            detail.text = str(number)
    assert [change.detail for change in history(tmp_path)] == ["4", "5", "6", "7"]
    path = tmp_path / ".gymctl" / "history.jsonl"
    line = json.loads(path.read_text().splitlines()[-1])
    path.write_text(json.dumps({**line, "added_later": 1}) + "\n" + '{"time": "2026')
    assert [change.detail for change in read_history(tmp_path)] == ["7"]
    record_change(tmp_path, read_history(tmp_path)[0])


@pytest.mark.parametrize(("engine", "words"), [("local", "locally"), ("swarm", "on a Swarm")])
def test_only_a_stack_of_compose_is_rolled_back(engine: str, words: str, tmp_path: Path) -> None:
    start(tmp_path, engine)
    with pytest.raises(InputError, match=words):
        rollback(directory=tmp_path)


def test_a_stack_without_an_earlier_version_is_not_rolled_back(tmp_path: Path) -> None:
    start(tmp_path)
    with pytest.raises(InputError, match="demo has no earlier version"):
        rollback(directory=tmp_path)
    assert history(tmp_path) == []


def test_only_compose_takes_a_limit_for_draining() -> None:
    assert drain_timeout(EngineKind.COMPOSE, 5) == 5
    assert drain_timeout(EngineKind.COMPOSE, 0) == 0
    assert drain_timeout(EngineKind.SWARM, None) == drain_timeout(EngineKind.COMPOSE, None) > 0
    for engine in (EngineKind.SWARM, EngineKind.LOCAL):
        with pytest.raises(InputError, match="--drain is for --engine compose"):
            drain_timeout(engine, 5)
