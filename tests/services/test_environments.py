"""The bundled environments: their rows, their tools, their rewards, and what the script earns in them."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from service_stack import SCRIPTED, entries, environment, example_rows, open_stack, post, service

from gymctl.server import Reply
from gymctl.server.responses import CREATE_PARAMS, function_call, response

ENVIRONMENTS = ["example_single_tool_call", "example_multi_step", "example_session_state_mgmt"]
SCRIPT_EARNS = {
    "example_single_tool_call": [1.0, 1.0, 1.0, 1.0, 1.0],
    "example_multi_step": [1.0, 1.0, 1.0, 0.0, 0.0],
    "example_session_state_mgmt": [1.0, 1.0, 1.0, 1.0, 1.0],
}


def at_resources_server(env: str, *calls: tuple[str, Any]) -> list[Reply]:
    """The replies to calls made one after the other within one session."""

    async def work() -> list[Reply]:
        async with open_stack(environment(env)) as servers:
            server = next(server for server in servers.values() if server.kind == "resources_servers")
            replies: list[Reply] = []
            for path, value in calls:
                cookies = replies[-1].cookies if replies else None
                replies.append(await post(server, path, value, cookies=cookies))
            return replies

    return asyncio.run(work())


@pytest.mark.parametrize("env", ENVIRONMENTS)
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


def test_weather() -> None:
    (reply,) = at_resources_server("example_single_tool_call", ("/get_weather", {"city": "Łódź 🌧"}))
    assert reply.json()["city"] == "Łódź 🌧"
    assert "Łódź 🌧" in reply.json()["weather_description"]


@pytest.mark.parametrize("body", [{}, {"city": 3}, [1], "text"])
def test_wrong_arguments_are_refused_in_fastapis_shape(body: Any) -> None:
    (reply,) = at_resources_server("example_single_tool_call", ("/get_weather", body))
    assert reply.status == 422
    assert reply.json()["detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize(
    ("handed_in", "reward", "overlap", "mine", "order"),
    [
        ([711, 501], 1.0, 1.0, False, False),
        ([501, 711], 0.0, 1.0, False, True),
        ([711], 0.0, 0.5, False, False),
        ([711, 501, 299], 0.0, 1.0, True, True),
        ([299], 0.0, 0.0, True, False),
        (["Hot"], 0.0, 0.0, True, False),
        ([711, "x", 501], 0.0, 1.0, False, True),
        ([[711], {"a": 501}], 0.0, 0.0, False, False),
        ([], 0.0, 0.0, False, False),
        ("711", 0.0, 0.0, False, False),
        (None, 0.0, 0.0, False, False),
    ],
)
def test_multi_step_verdicts(handed_in: Any, reward: float, overlap: float, mine: bool, order: bool) -> None:
    call = function_call("extract_synonym_values", orjson.dumps({"synonym_values": handed_in}).decode())
    row = {**example_rows("example_multi_step")[0], "response": response("m", [call])}
    (reply,) = at_resources_server("example_multi_step", ("/verify", row))
    verdict = reply.json()
    assert verdict["reward"] == reward
    assert verdict["accuracy"] is (reward == 1.0)
    assert verdict["set_overlap"] == overlap
    assert verdict["original_term_minefield_hit"] is mine
    assert verdict["order_instruction_following_failure"] is order
    assert all(isinstance(value, int) for value in verdict["parsed_synonym_values"])


@pytest.mark.parametrize("arguments", ["", "{", "[]", "null", '{"other": 1}'])
def test_multi_step_takes_the_last_call_and_survives_broken_ones(arguments: str) -> None:
    good = function_call("extract_synonym_values", '{"synonym_values": [711, 501]}')
    broken = function_call("extract_synonym_values", arguments)
    row = example_rows("example_multi_step")[0]
    replies = at_resources_server(
        "example_multi_step",
        ("/verify", {**row, "response": response("m", [broken, good])}),
        ("/verify", {**row, "response": response("m", [good, broken])}),
    )
    assert [reply.json()["reward"] for reply in replies] == [1.0, 0.0]


def test_multi_step_needs_its_row_fields() -> None:
    row = {"responses_create_params": {"input": "hi"}, "response": response("m", [])}
    (reply,) = at_resources_server("example_multi_step", ("/verify", row))
    assert reply.status == 422
    assert {problem["loc"][-1] for problem in reply.json()["detail"]} >= {"id", "expected_synonym_values"}


def test_counter_belongs_to_its_session() -> None:
    row = {"responses_create_params": {"input": "hi"}, "response": response("m", []), "expected_count": 12}
    calls = [
        ("/seed_session", {"initial_count": 10}),
        ("/increment_counter", {"count": 5}),
        ("/increment_counter", {"count": -3}),
        ("/get_counter_value", {}),
        ("/verify", row),
    ]
    replies = at_resources_server("example_session_state_mgmt", *calls)
    assert replies[3].json() == {"count": 12}
    assert replies[4].json()["reward"] == 1.0
    (stranger,) = at_resources_server("example_session_state_mgmt", ("/verify", {**row, "expected_count": 0}))
    assert stranger.json()["reward"] == 0.0


def test_counter_needs_its_row_fields() -> None:
    (seed,) = at_resources_server("example_session_state_mgmt", ("/seed_session", {}))
    assert seed.status == 422
    assert seed.json()["detail"][0]["loc"] == ["body", "initial_count"]

    async def work() -> Reply:
        async with open_stack(environment("example_session_state_mgmt"), SCRIPTED) as servers:
            row = {"responses_create_params": {"input": "hi"}}
            return await post(servers["example_session_state_mgmt_simple_agent"], "/run", row)

    run = asyncio.run(work())
    assert run.status >= 400
    assert run.json()["cause"]["path"] == "/seed_session"
    assert run.json()["cause"]["status"] == 422
