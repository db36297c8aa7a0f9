"""Rows of every release of NeMo Gym find their agents, and results say where they came from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rollout_stack import Agents, collected, read, spec_of

from gymctl.config.rows.row_routes import RowRoutes
from gymctl.errors import InputError
from gymctl.rollouts.spec import RunSpec
from gymctl.rollouts.tasks import materialise

PARAMS = {"input": "x"}
OF_ALPHA = {"responses_create_params": PARAMS, "agent_ref": {"type": "responses_api_agents", "name": "alpha"}}
OF_SOURCE = {"responses_create_params": PARAMS, "task_source": "maths"}
OF_BOTH = {**OF_ALPHA, "task_source": "maths"}
OF_NOBODY = {"responses_create_params": PARAMS}
TASK = {
    "task_id": {"taskset": "storms", "task_id": "7"},
    "task_input": {"responses_create_params": PARAMS, "city": "Rome"},
}
ROUTES = RowRoutes(sources={"maths": "beta", "alpha": "alpha"}, unroutable={"physics": "2 agents use it"})
TURN = RowRoutes(tasksets={"storms": "turn"}, servers=["turn"], attributed={"turn": "beta"}, fronts={"beta": ["turn"]})


def spec_for(folder: Path, *rows: dict[str, Any], **options: Any) -> RunSpec:
    spec = replace(spec_of(folder, 0), **{"routes": ROUTES, **options})
    spec.input.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return spec


def sent(folder: Path, *rows: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """The rollouts that the rows become."""
    spec = spec_for(folder, *rows, **options)
    materialise(spec)
    return read(spec.files.materialized)


def agents_of(folder: Path, *rows: dict[str, Any], **options: Any) -> list[str]:
    return [row["agent_ref"]["name"] for row in sent(folder, *rows, **options)]


@pytest.mark.parametrize(
    ("row", "options", "agents"),
    [
        (OF_ALPHA, {}, ["alpha"]),
        (OF_SOURCE, {}, ["beta"]),
        (OF_BOTH, {}, ["alpha"]),
        (OF_NOBODY, {"agent": "alpha"}, ["alpha"]),
        (OF_SOURCE, {"agent": "alpha"}, ["alpha"]),
        (OF_BOTH, {"agent_map": {"maths": "beta"}}, ["beta"]),
        (OF_BOTH, {"agent_map": {"maths": "beta", "alpha": "alpha"}}, ["alpha"]),
        (OF_ALPHA, {"agent_map": {"_default": "beta"}}, ["beta"]),
        (OF_NOBODY, {"agent_map": {"_default": "beta"}}, ["beta"]),
        (OF_SOURCE, {"agent_map": {"_default": "beta", "maths": "alpha"}}, ["alpha"]),
        (OF_SOURCE, {"fan_out": {"maths": ["alpha", "beta"]}}, ["alpha", "beta"]),
        (OF_BOTH, {"fan_out": {"maths": ["alpha", "beta"]}}, ["alpha"]),
        (OF_SOURCE, {"routes": RowRoutes(agent_map={"maths": "alpha"})}, ["alpha"]),
        (OF_SOURCE, {"routes": RowRoutes(agent_map={"maths": "alpha"}), "agent_map": {"maths": "beta"}}, ["beta"]),
        (OF_SOURCE, {"num_repeats": {"maths": 2}}, ["beta", "beta"]),
        (OF_SOURCE, {"num_repeats": {"maths": 3, "beta": 1}}, ["beta"]),
    ],
)
def test_the_first_that_names_an_agent_decides(
    tmp_path: Path, row: dict[str, Any], options: dict[str, Any], agents: list[str]
) -> None:
    assert agents_of(tmp_path, row, **options) == agents


def test_what_a_row_says_stays_and_rollouts_of_a_task_are_counted_over_its_agents(tmp_path: Path) -> None:
    rows = sent(tmp_path, OF_ALPHA, OF_SOURCE, num_repeats=2, fan_out={"maths": ["alpha", "beta"]})
    assert rows[0]["agent_ref"] == OF_ALPHA["agent_ref"]
    assert [row["_ng_rollout_index"] for row in rows] == [0, 1, 0, 1, 2, 3]
    assert all(row["task_source"] == "maths" for row in rows[2:])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {**OF_SOURCE, "task_source": "mathss"},
            "no agent or resources server of the stack has this name; did you mean 'maths'?",
        ),
        ({**OF_SOURCE, "task_source": "physics"}, "task_source 'physics': 2 agents use it"),
        ({**OF_SOURCE, "task_source": 3}, "task_source is 3; it must be the name of an agent or of a resources server"),
        (OF_NOBODY, "the row names no agent"),
        (TASK, "add +environment_server_routes.storms=ENVIRONMENT_SERVER"),
        ({**TASK, "task_id": {"task_id": "7"}}, "task_id has no taskset"),
    ],
)
def test_a_row_that_leads_nowhere_is_refused_with_its_line(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        materialise(spec_for(tmp_path, OF_ALPHA, row))
    assert message in str(caught.value)
    assert "rows.jsonl:2: " in str(caught.value)


def test_an_agent_of_the_map_must_be_in_the_stack(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the stack has no agent 'gamma'"):
        materialise(spec_for(tmp_path, OF_SOURCE, agent_map={"maths": "gamma"}))


def test_a_task_and_the_rows_of_a_fronted_agent_go_to_the_environment_server(tmp_path: Path) -> None:
    rows = sent(tmp_path, TASK, {**OF_ALPHA, "agent_ref": {"name": "beta"}}, OF_ALPHA, routes=TURN)
    assert [row.get("_ng_environment_server") for row in rows] == ["turn", "turn", None]
    assert [row["agent_ref"]["name"] for row in rows] == ["beta", "beta", "alpha"]
    assert rows[0]["task_input"] == TASK["task_input"]


def test_two_environment_servers_of_an_agent_are_not_chosen_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has several environment servers \\(one, two\\)"):
        materialise(spec_for(tmp_path, OF_ALPHA, routes=RowRoutes(fronts={"alpha": ["one", "two"]})))


def test_parameters_of_a_task_are_not_overridden(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of a task with task_input cannot be overridden"):
        materialise(spec_for(tmp_path, TASK, routes=TURN, params_override={"temperature": 1}))


@pytest.mark.enable_socket
def test_results_and_failures_have_both_references(tmp_path: Path) -> None:
    spec = spec_for(tmp_path, OF_SOURCE, {**OF_BOTH, "n": 1})
    agents = Agents(echo=True)
    collected(spec, agents)
    routes = sorted((row["agent_ref"]["name"], row["task_source"]) for row in read(spec.output))
    assert routes == [("alpha", "maths"), ("beta", "maths")]
