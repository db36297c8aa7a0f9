"""The whole loop in one process: what it prints, the files it leaves, and that both may be trusted."""

from __future__ import annotations

import json

import pytest
from cli_stack import contents

FILES = {
    "rollouts.jsonl",
    "rollouts_aggregate_metrics.json",
    "rollouts_failures.jsonl",
    "rollouts_materialized_inputs.jsonl",
    "rollouts_run.json",
}
ENVIRONMENTS = ("example_single_tool_call_simple_agent", "example_multi_step_simple_agent")


@pytest.fixture(autouse=True)
def without_docker(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")


def test_ten_rollouts_of_two_environments(gymctl, folder):
    said = gymctl("quickstart")
    assert said.code == 0
    assert [path.name for path in folder.iterdir()] == ["gymctl-quickstart"]
    assert set(contents(folder / "gymctl-quickstart")) == FILES
    rows = [json.loads(line) for line in (folder / "gymctl-quickstart" / "rollouts.jsonl").read_text().splitlines()]
    rewards = {agent: [row["reward"] for row in rows if row["agent_ref"]["name"] == agent] for agent in ENVIRONMENTS}
    assert [len(found) for found in rewards.values()] == [5, 5]
    assert all(sum(found) >= 1 for found in rewards.values())

    table = said.out.splitlines()
    for agent, found in rewards.items():
        line = next(line for line in table if line.startswith(agent)).split()
        assert line[1:4] == ["5", f"{sum(found) / 5:.3f}", str(sum(reward >= 1 for reward in found))]
    assert "10 of 10 rollouts done" in said.out
    assert "not a language model" in said.out
    assert "gymctl-quickstart/rollouts.jsonl" in said.out
    assert " up " in said.out and " render " in said.out
    assert said.lines[-1].startswith("10/10 rollouts")


def test_again_it_replaces_what_it_left(gymctl, folder):
    first, second = gymctl("quickstart", "-o", "here"), gymctl("quickstart", "-o", "here")
    assert (first.code, second.code) == (0, 0)
    assert set(contents(folder / "here")) == FILES


def test_the_report_as_json_is_all_that_is_printed(gymctl, folder):
    said = gymctl("quickstart", "--json")
    report = json.loads(said.out)
    assert (report["total"], report["done"], report["failed"]) == (10, 10, 0)
    assert set(report["agents"]) == set(ENVIRONMENTS)
    assert said.err == ""


def test_the_next_step_it_names_works(gymctl, folder):
    command = next(line for line in gymctl("quickstart").out.splitlines() if "see the Compose file" in line)
    rendered = gymctl(*command.split()[-2:])
    assert rendered.code == 0
    assert "services:" in rendered.out
