"""Where a configuration leads rows that name no agent."""

from __future__ import annotations

from typing import Any

import pytest

from gymctl.config.rows.row_routes import read_routes


def agent(resources: str, *datasets: dict[str, Any]) -> dict[str, Any]:
    reference = {"type": "resources_servers", "name": resources}
    return {"responses_api_agents": {"simple_agent": {"resources_server": reference, "datasets": list(datasets)}}}


def resources(*datasets: dict[str, Any]) -> dict[str, Any]:
    return {"resources_servers": {"math": {"domain": "math", "datasets": list(datasets)}}}


def turn(**agents: str) -> dict[str, Any]:
    references = {field: {"type": "responses_api_agents", "name": name} for field, name in agents.items()}
    return {"environment_servers": {"single_agent_turn": references}}


def test_an_agent_runs_its_own_rows_and_those_of_the_server_that_only_it_uses() -> None:
    routes = read_routes(
        {"maths": resources(), "solver": agent("maths"), "policy": {"responses_api_models": {"m": {}}}}
    )
    assert routes.sources == {"maths": "solver", "solver": "solver"}
    assert not routes.unroutable


@pytest.mark.parametrize(
    ("datasets", "agents", "reason"),
    [
        ([], ["one", "two"], "2 agents use the resources server maths (one, two)"),
        ([], [], "no agent uses the resources server maths"),
        (
            [{"agent": "one"}, {"agent": "two"}],
            ["one", "two"],
            "the data sets of maths name different agents (one, two)",
        ),
        ([{"agent": "three"}], ["one"], "a data set of maths names the agent 'three', which does not use maths"),
    ],
)
def test_what_is_not_clear_is_not_guessed(datasets: list[dict[str, Any]], agents: list[str], reason: str) -> None:
    routes = read_routes({"maths": resources(*datasets), **{name: agent("maths") for name in agents}})
    assert routes.unroutable["maths"] == f"{reason}; choose one with +agent_map.maths=AGENT"
    assert "maths" not in routes.sources


def test_a_data_set_chooses_among_agents() -> None:
    routes = read_routes({"maths": resources({"agent": "two"}), "one": agent("maths"), "two": agent("maths")})
    assert routes.sources["maths"] == "two"


def test_environment_servers_stand_in_front_of_their_agents_but_relays_do_not() -> None:
    relay = {"environment_servers": {"legacy_agent": {"agent_server": {"name": "solver"}}}}
    values = {"solver": agent("maths"), "relay": relay, "pair": turn(user="user", helper="solver"), "user": agent("x")}
    routes = read_routes({**values, "solo": turn(agent_server="user"), "environment_server_routes": {"set": "solo"}})
    assert routes.fronts == {"solver": ["pair"], "user": ["pair", "solo"]}
    assert (routes.attributed, routes.servers, routes.tasksets) == ({"solo": "user"}, ["pair", "solo"], {"set": "solo"})
