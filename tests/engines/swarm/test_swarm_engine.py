"""What the Swarm engine leaves behind when something fails: the directory and the nodes as they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from small_swarm import HEADER, SmallSwarm, small_swarm, stack_file

from gymctl import assets
from gymctl.config import load_config
from gymctl.engines.runner import CommandFailed
from gymctl.engines.state import load_state
from gymctl.engines.swarm import engine as engines
from gymctl.engines.swarm.engine import SwarmEngine
from gymctl.errors import EngineError
from gymctl.stack import StackOptions, StackPlan, plan_stack
from gymctl.stack.swarm import SwarmRendering


@pytest.fixture
def swarm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SmallSwarm:
    made = small_swarm(monkeypatch, tmp_path)
    monkeypatch.setattr(engines, "connect", lambda _: made)
    return made


@dataclass(frozen=True)
class StartStack:
    """Brings up a stack of the head alone (and what else is given), described by ``digest``."""

    folder: Path
    plan: StackPlan

    def __call__(self, digest: str, **services: tuple[str, int]) -> None:
        rendering = SwarmRendering("demo", ("head",), stack_file(**services), ())
        SwarmEngine(self.folder).up(self.plan, rendering, images={}, config_digest=digest, timeout=5)


@pytest.fixture
def up(swarm: SmallSwarm, tmp_path: Path) -> StartStack:
    folder = tmp_path / "stack"
    folder.mkdir()
    config = load_config([str(assets.folder("examples") / "quickstart")], cwd=folder, environ={})
    plan = plan_stack(config, name="demo", options=StackOptions(version="1"))
    return StartStack(folder, plan)


@pytest.mark.parametrize(
    "services", [{"refused": ("", 1)}, {"head": ("new", 1), "refused": ("", 1)}, {"head": ("broken", 1)}]
)
def test_the_directory_describes_the_stack_that_runs(
    up: StartStack, swarm: SmallSwarm, services: dict[str, tuple[str, int]]
) -> None:
    up("first", head=("old", 1))
    before = (up.folder / "swarm.yaml").read_text()
    with pytest.raises(EngineError, match="the previous version of the stack is running"):
        up("second", **services)
    assert (up.folder / "swarm.yaml").read_text() == before == HEADER + '{"head": ["old", 1]}'
    assert load_state(up.folder).config_digest == "first"
    assert swarm.runs() == {"head": ("old", 1)}


def test_a_node_that_could_not_be_drained_takes_tasks_again(up: StartStack, swarm: SmallSwarm) -> None:
    up("first", head=("old", 1))
    with pytest.raises(CommandFailed):
        SwarmEngine(up.folder).drain("one")
    assert swarm.availability == ["pause", "active"]
