"""The bundled environments: their rows fit them, and the script earns in them what it is known to earn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from service_stack import SCRIPTED, entries, environment, example_rows, open_stack, post, service

from gymctl.config.upstream import CREATE_PARAMS
from gymctl.server import Reply

SCRIPT_EARNS = {
    "example_single_tool_call": [1.0, 1.0, 1.0, 1.0, 1.0],
    "example_multi_step": [1.0, 1.0, 1.0, 0.0, 0.0],
    "example_session_state_mgmt": [1.0, 1.0, 1.0, 1.0, 1.0],
    "multineedle": [1.0, 0.0, 1.0, 0.0, 1.0],
    "weather": [1.0, 0.0, 1.0, 0.0, 0.0],
}
ENVIRONMENTS = [*SCRIPT_EARNS, "google_search"]


@pytest.mark.parametrize("env", SCRIPT_EARNS)
def test_every_bundled_row_earns_what_the_script_is_known_to_earn(env: str) -> None:
    async def work() -> list[dict[str, Any]]:
        async with open_stack(environment(env), SCRIPTED) as servers:
            agent = servers[f"{env}_simple_agent"]
            return [(await post(agent, "/run", row)).json() for row in example_rows(env)]

    results = asyncio.run(work())
    assert [result["reward"] for result in results] == SCRIPT_EARNS[env]
    for row, result in zip(example_rows(env), results, strict=True):
        assert row.items() <= result.items()  # the row is echoed whole
        assert result["response"]["model"] == "scripted-model (not a language model)"
        assert result["response"]["output"][-1]["type"] == "message"
        assert result["response"]["usage"]["total_tokens"] > 0


def test_rollouts_are_the_same_every_time() -> None:
    async def work() -> list[bytes]:
        async with open_stack(environment("example_multi_step"), SCRIPTED) as servers:
            agent = servers["example_multi_step_simple_agent"]
            row = example_rows("example_multi_step")[0]
            return [(await post(agent, "/run", row)).body for _ in range(2)]

    first, second = asyncio.run(work())
    assert first == second


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_rows_and_configs_fit_together(env: str) -> None:
    rows = example_rows(env)
    assert len(rows) == 5
    by_name = {name: (kind, fields) for name, kind, _, fields in entries(environment(env))}
    (agent,) = [fields for kind, fields in by_name.values() if kind == "responses_api_agents"]
    assert by_name[agent["resources_server"]["name"]][0] == agent["resources_server"]["type"]
    assert (service("", "") / agent["datasets"][0]["jsonl_fpath"]).is_file()

    async def work() -> set[tuple[str, str]]:
        async with open_stack(environment(env)) as servers:
            return set(servers[agent["resources_server"]["name"]].endpoints)

    endpoints = asyncio.run(work())
    for row in rows:
        assert row["responses_create_params"].keys() <= CREATE_PARAMS
        for tool in row["responses_create_params"]["tools"]:
            assert ("POST", f"/{tool['name']}") in endpoints


def test_a_row_that_cannot_be_seeded_is_told_by_the_agent() -> None:
    async def work() -> Reply:
        async with open_stack(environment("example_session_state_mgmt"), SCRIPTED) as servers:
            row = {"responses_create_params": {"input": "hi"}}
            return await post(servers["example_session_state_mgmt_simple_agent"], "/run", row)

    run = asyncio.run(work())
    assert run.status >= 400
    assert run.json()["cause"]["path"] == "/seed_session"
    assert run.json()["cause"]["status"] == 422
