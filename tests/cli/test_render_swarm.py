"""``gymctl render --target swarm``: the stack file, and what it says was changed and lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from cli_stack import GOOD, Gymctl, contents


@pytest.fixture(autouse=True)
def _stack(folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)


def test_the_stack_file_and_its_changes(gymctl: Gymctl, folder: Path) -> None:
    result = gymctl("render", "stack.yaml", "--target", "swarm", "-o", "stack.out.yaml")
    assert (result.code, result.out) == (0, "")
    document = yaml.safe_load((folder / "stack.out.yaml").read_text())
    assert set(document["services"]) == {"head", "policy_model", "weather", "my_agent"}
    overlay = {"driver": "overlay", "attachable": True}
    assert document["networks"] == {
        "my_agent-policy_model": {**overlay, "internal": True},
        "my_agent-weather": {**overlay, "internal": True},
        "stack-egress": overlay,
    }
    swarm = [line for line in result.lines if line.startswith("swarm: ")]
    assert "swarm: translated: restart (head, policy_model, weather and 1 more): deploy.restart_policy: any" in swarm
    assert any(line.startswith("swarm: lost: ports (head): 127.0.0.1:11000 is not published") for line in swarm)
    assert "gymctl up --engine swarm" in result.lines[-1]
    assert set(contents(folder)) == {"stack.yaml", "stack.out.yaml"}


def test_the_changes_as_json(gymctl: Gymctl) -> None:
    result = gymctl("render", "stack.yaml", "--target", "swarm", "--json", "-o", "out.yaml")
    changes = json.loads(result.out)
    assert {
        "service": "head",
        "key": "restart",
        "outcome": "translated",
        "detail": "deploy.restart_policy: any",
    } in changes
    assert {change["outcome"] for change in changes} == {"translated", "added", "lost"}
    assert "swarm:" not in result.err


def test_the_head_is_opened_deliberately(gymctl: Gymctl) -> None:
    result = gymctl("render", "stack.yaml", "--target", "swarm", "--publish", "0.0.0.0")
    ports = yaml.safe_load(result.out)["services"]["head"]["ports"]
    assert ports == [{"target": 11000, "published": 11000, "mode": "host"}]
    assert "11000 on every interface of the node it runs on" in result.err


def test_compose_publishes_on_one_address(gymctl: Gymctl) -> None:
    result = gymctl("render", "stack.yaml", "--publish", "10.0.0.7")
    assert yaml.safe_load(result.out)["services"]["head"]["ports"][0]["host_ip"] == "10.0.0.7"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--target", "swram"], "invalid value for '--target': 'swram' is not one of 'compose', 'swarm'"),
        (["--target", "swarm", "--publish", "10.0.0.7"], "--publish 10.0.0.7: Swarm cannot publish on one address"),
        (["--publish", "everyone"], "--publish 'everyone' is not an IPv4 address; use an address of this machine"),
        (
            ["--json"],
            "--json prints the changes of --target swarm and needs an output file; add --target swarm -o stack.yaml",
        ),
        (["--json", "--target", "swarm"], "--json prints the changes of --target swarm and needs an output file"),
    ],
)
def test_wrong_options(gymctl: Gymctl, folder: Path, options: list[str], error: str) -> None:
    result = gymctl("render", "stack.yaml", *options)
    assert result.code == 2
    assert result.err.startswith(f"error: {error}")
    assert set(contents(folder)) == {"stack.yaml"}


def test_placement_is_followed_by_swarm_and_noted_for_compose(gymctl: Gymctl) -> None:
    place = "+placement={role: worker}"
    swarm = gymctl("render", "stack.yaml", "--target", "swarm", place)
    deploy = yaml.safe_load(swarm.out)["services"]["weather"]["deploy"]
    assert deploy["placement"] == {"constraints": ["node.role==worker"]}
    assert "placement" not in swarm.err
    compose = gymctl("render", "stack.yaml", place)
    assert "note: placement (head, policy_model, weather and 1 more) is ignored by Compose" in compose.err


def test_replicas_that_share_gpus_on_one_machine_are_told(gymctl: Gymctl) -> None:
    several = ("+weather.replicas=2", "+weather.resources={gpus: 1}")
    assert "weather: Compose gives all 2 replicas the same GPUs" in gymctl("render", "stack.yaml", *several).err
    assert "GPUs" not in gymctl("render", "stack.yaml", "+weather.resources={gpus: 1}").err
