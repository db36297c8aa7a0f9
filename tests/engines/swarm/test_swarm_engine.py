"""What the Swarm engine leaves behind when something fails: the directory and the nodes as they were."""

from __future__ import annotations

import pytest
from small_swarm import HEADER, small_swarm, stack_file

from gymctl import assets
from gymctl.config import load_config
from gymctl.engines.runner import CommandFailed
from gymctl.engines.state import load_state
from gymctl.engines.swarm import engine as engines
from gymctl.engines.swarm.engine import SwarmEngine
from gymctl.errors import EngineError
from gymctl.stack import StackOptions, plan_stack
from gymctl.stack.swarm import SwarmRendering


@pytest.fixture
def swarm(monkeypatch, tmp_path):
    made = small_swarm(monkeypatch, tmp_path)
    monkeypatch.setattr(engines, "connect", lambda _: made)
    return made


@pytest.fixture
def up(swarm, tmp_path):
    """Bring up a stack of the head alone (and what else is said), described by ``digest``."""
    folder = tmp_path / "stack"
    folder.mkdir()
    config = load_config([str(assets.folder("examples") / "quickstart")], cwd=folder, environ={})
    plan = plan_stack(config, name="demo", options=StackOptions(version="1"))

    def run(digest, **services):
        rendering = SwarmRendering("demo", ("head",), stack_file(**services), ())
        SwarmEngine(folder).up(plan, rendering, images={}, config_digest=digest, timeout=5)

    run.folder = folder
    return run


@pytest.mark.parametrize(
    "services", [{"refused": ("", 1)}, {"head": ("new", 1), "refused": ("", 1)}, {"head": ("broken", 1)}]
)
def test_the_directory_describes_the_stack_that_runs(up, swarm, services):
    up("first", head=("old", 1))
    before = (up.folder / "swarm.yaml").read_text()
    with pytest.raises(EngineError, match="the previous version of the stack is running"):
        up("second", **services)
    assert (up.folder / "swarm.yaml").read_text() == before == HEADER + '{"head": ["old", 1]}'
    assert load_state(up.folder).config_digest == "first"
    assert swarm.runs() == {"head": ("old", 1)}


def test_a_node_that_could_not_be_drained_takes_tasks_again(up, swarm):
    up("first", head=("old", 1))
    with pytest.raises(CommandFailed):
        SwarmEngine(up.folder).drain("one")
    assert swarm.availability == ["pause", "active"]
