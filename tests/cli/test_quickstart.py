"""The whole loop in one process: what it prints, the files it leaves, and that both may be trusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_stack import Gymctl, contents

FILES = {
    "rollouts.jsonl",
    "rollouts_aggregate_metrics.json",
    "rollouts_failures.jsonl",
    "rollouts_materialized_inputs.jsonl",
    "rollouts_run.json",
}
ENVIRONMENTS = ("example_single_tool_call_simple_agent", "example_multi_step_simple_agent")


@pytest.fixture(autouse=True)
def without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")


def test_ten_rollouts_of_two_environments(gymctl: Gymctl, folder: Path) -> None:
    result = gymctl("quickstart")
    assert result.code == 0
    assert [path.name for path in folder.iterdir()] == ["gymctl-quickstart"]
    assert set(contents(folder / "gymctl-quickstart")) == FILES
    rows = [json.loads(line) for line in (folder / "gymctl-quickstart" / "rollouts.jsonl").read_text().splitlines()]
    rewards = {agent: [row["reward"] for row in rows if row["agent_ref"]["name"] == agent] for agent in ENVIRONMENTS}
    assert [len(values) for values in rewards.values()] == [5, 5]
    assert all(sum(values) >= 1 for values in rewards.values())

    table = result.out.splitlines()
    for agent, values in rewards.items():
        line = next(line for line in table if line.startswith(agent)).split()
        assert line[1:4] == ["5", f"{sum(values) / 5:.3f}", str(sum(reward >= 1 for reward in values))]
    assert "10 of 10 rollouts done" in result.out
    assert "not a language model" in result.out
    assert "gymctl-quickstart/rollouts.jsonl" in result.out
    assert " up " in result.out and " render " in result.out
    assert result.lines[-1].startswith("10/10 rollouts")


def test_again_it_replaces_what_it_left(gymctl: Gymctl, folder: Path) -> None:
    first, second = gymctl("quickstart", "-o", "here"), gymctl("quickstart", "-o", "here")
    assert (first.code, second.code) == (0, 0)
    assert set(contents(folder / "here")) == FILES


def test_the_report_as_json_is_all_that_is_printed(gymctl: Gymctl, folder: Path) -> None:
    result = gymctl("quickstart", "--json")
    report = json.loads(result.out)
    assert (report["total"], report["done"], report["failed"]) == (10, 10, 0)
    assert set(report["agents"]) == set(ENVIRONMENTS)
    assert result.err == ""


def test_the_next_step_it_names_works(gymctl: Gymctl, folder: Path) -> None:
    command = next(line for line in gymctl("quickstart").out.splitlines() if "see the Compose file" in line)
    rendered = gymctl(*command.split()[-2:])
    assert rendered.code == 0
    assert "services:" in rendered.out
