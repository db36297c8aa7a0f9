"""An update that fails: every server goes back to what it was, and what is said of that is true."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_swarm import SmallSwarm, small_swarm, stack_file

from gymctl.engines.compose.watch import ServerFailed
from gymctl.engines.swarm import deploy as deploying
from gymctl.engines.swarm.deploy import deploy
from gymctl.engines.swarm.tasks import find_services
from gymctl.errors import EngineError

BEFORE = {"agent": ("old", 3), "tools": ("old", 1), "model": ("old", 1)}


@pytest.fixture
def swarm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SmallSwarm:
    return small_swarm(monkeypatch, tmp_path, **BEFORE)


def update(swarm: SmallSwarm, folder: Path, **services: tuple[str, int]) -> None:
    file = folder / "swarm.yaml"
    file.write_text(stack_file(**services))
    earlier = find_services(swarm, "demo")
    deploy(swarm, "demo", file, {name: name for name in services}, earlier, timeout=5, on_event=lambda _: None)


def test_replicas_go_back_too(swarm: SmallSwarm, tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="the previous version of the stack is running") as failed:
        update(swarm, tmp_path, agent=("old", 1), tools=("broken", 1), model=("old", 1), more=("new", 1))
    assert failed.value.server == "tools" and failed.value.rolled_back
    assert "gymctl down" not in str(failed.value)
    assert swarm.runs() == BEFORE
    assert swarm.last_words("service", "rollback") == ["demo_agent", "demo_tools"]  # what had not changed is left alone


def test_a_way_back_that_fails_is_not_called_done(
    swarm: SmallSwarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "_ROLLBACK_S", 0.1)
    swarm.write(stuck=True)
    with pytest.raises(ServerFailed, match="still in progress") as failed:
        update(swarm, tmp_path, agent=("old", 3), tools=("broken", 1), model=("old", 1))
    assert not failed.value.rolled_back


def test_a_file_that_is_refused_halfway_changes_nothing(swarm: SmallSwarm, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no such network; the previous version of the stack is running"):
        update(swarm, tmp_path, agent=("new", 1), refused=("", 1))
    assert swarm.runs() == BEFORE


def test_a_first_start_that_fails_is_left_to_be_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    swarm = small_swarm(monkeypatch, tmp_path)
    with pytest.raises(ServerFailed, match="gymctl down"):
        update(swarm, tmp_path, tools=("broken", 1))
    assert swarm.runs() == {"tools": ("broken", 1)}
