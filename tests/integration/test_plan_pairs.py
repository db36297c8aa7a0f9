"""Chains of generated changes to one running stack: ``gymctl plan`` lists what ``gymctl up`` does, and nothing else."""

from __future__ import annotations

import json
import subprocess

import pytest
from generated_changes import ChangingStack
from plan_commands import Cli, changed_servers, expected_events
from small_stack import SmallStack

pytestmark = pytest.mark.docker

CHAINS, PAIRS = 10, 20
"""200 updates, about 20 s each."""
SHORT = 3


def check(stack: SmallStack, seed: int, pairs: int) -> None:
    """Change the stack ``pairs`` times; each time, compare the plan with the engine's events."""
    gymctl = Cli(stack)
    changing = ChangingStack(stack, seed)
    gymctl.up()
    history = []
    try:
        for _ in range(pairs):
            history.append(changing.change())
            check_pair(gymctl, changing, history)
    finally:
        stack.engine.down(volumes=True)
        images = subprocess.run(
            ["docker", "images", "-q", f"{stack.name}-*"], capture_output=True, text=True, check=True
        ).stdout.split()
        if images:
            subprocess.run(["docker", "image", "rm", "-f", *set(images)], capture_output=True, check=False)


def check_pair(gymctl: Cli, changing: ChangingStack, history: list[str]) -> None:
    """Plan, start, and plan again."""
    before = "\n".join(history)
    done = gymctl.run("plan", "--json")
    assert done.returncode in (0, 3), f"{before}\n{done.stderr}"
    plan = json.loads(done.stdout)
    servers = changed_servers(plan)
    assert (done.returncode == 3) == bool(servers or plan["images"]), f"{before}\n{plan['summary']}"
    unexplained = [name for name, server in servers.items() if not (server["reasons"] or server["notes"])]
    created = [name for name, server in servers.items() if server["action"] == "created"]
    assert set(unexplained) <= set(created), before
    stopped = changing.stopped()
    _, happened = gymctl.up("--drain", "60")
    expected = expected_events(servers, stopped)
    assert happened == expected, f"{before}\nplanned: {json.dumps(servers, indent=1)}"
    again = gymctl.run("plan", "--json")
    assert again.returncode == 0, f"{before}\nplanned again: {again.stdout}{again.stderr}"


def test_plan_lists_what_up_does_after_generated_changes(stack: SmallStack) -> None:
    check(stack, seed=0, pairs=SHORT)


@pytest.mark.lab
@pytest.mark.parametrize("seed", range(1, CHAINS + 1))
def test_plan_lists_what_up_does_in_long_chains_of_changes(stack: SmallStack, seed: int) -> None:
    check(stack, seed, PAIRS)
