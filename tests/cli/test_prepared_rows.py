"""Rows as each release of NeMo Gym prepares them are collected from one stack, unchanged and with the same rewards."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_stack import EXAMPLE, Gymctl
from free_ports import free_port

pytestmark = pytest.mark.processes

Row = dict[str, Any]
WEATHER = "example_single_tool_call"
STEPS = "example_multi_step_resources_server"
AGENTS = {WEATHER: f"{WEATHER}_simple_agent", STEPS: "example_multi_step_simple_agent"}
SOURCES = {agent: source for source, agent in AGENTS.items()}
CONFIG = "resources_servers/example_multi_step/configs/example_multi_step.yaml"
MODEL = "responses_api_models/openai_model/configs/openai_model.yaml"


@pytest.fixture(name="stack")
def stack_fixture(gymctl: Gymctl, folder: Path) -> Iterator[Gymctl]:
    started = gymctl("up", EXAMPLE, "--engine", "local", f"+head_server.port={free_port()}")
    assert started.code == 0, started
    yield gymctl
    gymctl("down")


def plain_rows() -> list[Row]:
    return [json.loads(line) for line in (EXAMPLE / "rows.jsonl").read_text().splitlines()]


def as_before_0_6(row: Row) -> Row:
    """The agent is stamped last, with its kind; other columns stay."""
    name = row["agent_ref"]["name"]
    own = {key: value for key, value in row.items() if key != "agent_ref"}
    return {**own, "agent_ref": {"type": "responses_api_agents", "name": name}}


def as_of_an_agent_since_0_6(row: Row) -> Row:
    """The data set was declared by the agent."""
    own = {key: value for key, value in row.items() if key != "agent_ref"}
    return {**own, "task_source": row["agent_ref"]["name"]}


def as_of_a_resources_server_since_0_6(row: Row) -> Row:
    """The data set was declared by the resources server."""
    own = {key: value for key, value in row.items() if key != "agent_ref"}
    return {**own, "task_source": SOURCES[row["agent_ref"]["name"]]}


def as_both(row: Row) -> Row:
    """A row for all releases: 0.6 and later read both keys, those before only the first."""
    return {**as_before_0_6(row), "task_source": SOURCES[row["agent_ref"]["name"]]}


FORMS = (as_before_0_6, as_of_an_agent_since_0_6, as_of_a_resources_server_since_0_6, as_both)


def collected(gymctl: Gymctl, rows: list[Row], name: str, *options: str) -> list[Row]:
    """The results of the rows, in the order of their tasks."""
    Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = gymctl("collect", "--input", f"{name}.jsonl", "--output", f"{name}-results.jsonl", *options)
    assert done.code == 0, done
    results = [json.loads(line) for line in Path(f"{name}-results.jsonl").read_text().splitlines()]
    return sorted(results, key=lambda result: (result["_ng_task_index"], result["_ng_rollout_index"]))


def test_rows_of_every_release_have_the_same_rewards(stack: Gymctl) -> None:
    rows = plain_rows()
    expected = [result["reward"] for result in collected(stack, rows, "plain")]
    assert len(set(expected)) > 1
    for form in FORMS:
        prepared = [form(row) for row in rows]
        results = collected(stack, prepared, form.__name__)
        assert [result["reward"] for result in results] == expected, form.__name__
        for row, sent, result in zip(rows, prepared, results, strict=True):
            assert result["agent_ref"]["name"] == row["agent_ref"]["name"], form.__name__
            assert result.get("task_source") == sent.get("task_source"), form.__name__


def test_rows_of_one_source_go_to_several_agents_and_to_another_one(stack: Gymctl) -> None:
    rows = [as_of_a_resources_server_since_0_6(row) for row in plain_rows()]
    steps = [row for row in rows if row["task_source"] == STEPS]
    agents = list(AGENTS.values())
    fanned = collected(stack, steps, "fanned", f"+fan_out={{{STEPS}: [{', '.join(agents)}]}}")
    assert sorted(result["agent_ref"]["name"] for result in fanned) == sorted(agents * len(steps))
    assert {result["task_source"] for result in fanned} == {STEPS}
    mapped = collected(stack, steps, "mapped", f"+agent_map.{STEPS}={AGENTS[WEATHER]}")
    assert {result["agent_ref"]["name"] for result in mapped} == {AGENTS[WEATHER]}


@pytest.mark.upstream
@pytest.mark.parametrize(
    ("variable", "key"), [("GYMCTL_UPSTREAM_PYTHON", "agent_ref"), ("GYMCTL_UPSTREAM_07_PYTHON", "task_source")]
)
def test_rows_that_an_installed_release_prepares(stack: Gymctl, folder: Path, variable: str, key: str) -> None:
    python = os.environ.get(variable, "")
    if not Path(python).is_file():
        pytest.skip(f"{variable} names no interpreter with NeMo Gym in it")
    command = [str(Path(python).with_name("ng_prepare_data")), f"+config_paths=[{MODEL},{CONFIG}]"]
    values = ["+policy_base_url=http://none", "+policy_api_key=none", "+policy_model_name=none"]
    options = [f"+output_dirpath={folder}/prepared", "+mode=example_validation"]
    done = subprocess.run([*command, *options, *values], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = (folder / "prepared" / "example.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows
    assert all(key in row for row in rows)
    results = collected(stack, rows, "prepared-rows")
    assert len(results) == len(rows)
    for row, result in zip(rows, results, strict=True):
        assert result["agent_ref"]["name"] == AGENTS[STEPS]
        assert result.get("task_source") == row.get("task_source")
        assert result["id"] == row["id"]
