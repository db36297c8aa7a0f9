"""The loop: when it stops, what it adds up, and what a model's mistakes become."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from service_stack import environment, open_stack, post

from gymctl.server import Client, LocalTransport, ModelServer, Session, Settings
from gymctl.server.responses import function_call, message, response, usage

AGENT = "example_session_state_mgmt_simple_agent"
TOOLS = [{"type": "function", "name": name} for name in ("increment_counter", "get_counter_value")]
REASONING = {"id": "rs_1", "type": "reasoning", "summary": []}


class Replayed(ModelServer):
    """Answers with prepared replies in turn, the last one again and again, and keeps what it was asked."""

    def prepare(self, replies: list[dict[str, Any]]) -> None:
        self.replies, self.asked = replies, list[dict[str, Any]]()

    async def responses(self, params: dict[str, Any], session: Session) -> dict[str, Any]:
        self.asked.append(params)
        return self.replies[min(len(self.asked), len(self.replies)) - 1]


def loop(replies: list[dict[str, Any]], **settings: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The agent's final Response over a model that gives ``replies``, and what the model was asked."""

    async def work() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        async with open_stack(environment("example_session_state_mgmt"), **{AGENT: settings}) as servers:
            client = Client(LocalTransport(servers))
            model = Replayed(Settings("policy_model", "responses_api_models", "x", "127.0.0.1", 1, {}), client)
            model.prepare(replies)
            servers["policy_model"] = model
            reply = await post(servers[AGENT], "/v1/responses", {"input": "count", "temperature": 0.5, "tools": TOOLS})
            assert reply.status == 200, reply.body
            return reply.json(), model.asked

    return asyncio.run(work())


def says(*items: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return response("m", items, **extra)


def outputs(final: dict[str, Any]) -> list[str]:
    return [item["output"] for item in final["output"] if item["type"] == "function_call_output"]


def test_calls_are_run_in_order_within_one_session_until_the_model_answers() -> None:
    two = says(function_call("increment_counter", '{"count": 2}'), function_call("increment_counter", '{"count": 3}'))
    final, asked = loop([two, says(function_call("get_counter_value", "{}")), says(message("5"))])
    assert outputs(final) == ['{"success":true}', '{"success":true}', '{"count":5}']
    assert [item["type"] for item in final["output"]] == [
        *["function_call"] * 2,
        *["function_call_output"] * 2,
        "function_call",
        "function_call_output",
        "message",
    ]
    assert [len(params["input"]) for params in asked] == [1, 5, 7]
    assert all(params["temperature"] == 0.5 for params in asked)
    assert asked[0]["input"][0]["content"] == "count"


@pytest.mark.parametrize(
    ("usages", "totals"),
    [
        ([usage(10, 5), usage(20, 7)], (30, 12, 42)),
        ([usage(10, 5), None], (10, 5, 15)),
        ([None, usage(20, 7)], (20, 7, 27)),
    ],
)
def test_usage_is_counted_once(usages: list[Any], totals: tuple[int, int, int]) -> None:
    call, answer = function_call("get_counter_value", "{}"), message("done")
    final, _ = loop([says(call, usage=usages[0]), says(answer, usage=usages[1])])
    counted = final["usage"]
    assert (counted["input_tokens"], counted["output_tokens"], counted["total_tokens"]) == totals


def test_no_usage_at_all_is_none() -> None:
    assert loop([says(message("hi"))])[0]["usage"] is None


@pytest.mark.parametrize("arguments", ["{", "[1]", "3", '"text"', '{"count": NaN}'])
def test_malformed_arguments_are_the_models_to_see(arguments: str) -> None:
    final, asked = loop([says(function_call("increment_counter", arguments)), says(message("sorry"))])
    assert outputs(final)[0].startswith('{"error":"Invalid tool call arguments: ')
    assert len(asked) == 2


@pytest.mark.parametrize(
    "name", ["no_such_tool", "verify", "seed_session", "../verify", "verify?x=1", "a/../verify", ""]
)
def test_what_is_no_tool_answers_not_found(name: str) -> None:
    final, _ = loop([says(function_call(name, "{}")), says(message("sorry"))])
    (output,) = outputs(final)
    assert output.startswith('{"error":"Not Found: ')
    assert output.endswith('; available tools: get_counter_value, increment_counter"}')


def test_refused_arguments_are_the_models_to_see() -> None:
    final, _ = loop([says(function_call("increment_counter", '{"count": "many"}')), says(message("sorry"))])
    assert '"loc":["body","count"]' in outputs(final)[0]


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_a_reply_cut_short_ends_the_loop(reason: str) -> None:
    cut = says(function_call("get_counter_value", "{}"), incomplete_details={"reason": reason}, status="incomplete")
    final, asked = loop([cut])
    assert len(asked) == 1
    assert final["incomplete_details"] == {"reason": reason}
    assert outputs(final) == []


def test_max_steps_ends_the_loop() -> None:
    final, asked = loop([says(function_call("get_counter_value", "{}"))], max_steps=3)
    assert len(asked) == len(outputs(final)) == 3
    assert final["metadata"] == {"max_steps_reached": "3"}


def test_a_loop_has_a_bound_by_default() -> None:
    final, asked = loop([says(function_call("get_counter_value", "{}"), metadata={"a": "b"})])
    assert len(asked) == 512
    assert final["metadata"] == {"a": "b", "max_steps_reached": "512"}


def test_reasoning_alone_is_asked_again_but_not_for_ever() -> None:
    final, asked = loop([says(REASONING), says(REASONING), says(message("ok"))])
    assert [item["type"] for item in final["output"]] == ["reasoning", "reasoning", "message"]
    final, asked = loop([says(REASONING)], max_idle_steps=4)
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"object": "error"}, "reports an error"),
        ({"object": "response"}, "no list of output items"),
        (says(message("4"), status="failed"), "answer's status"),
        (says(message("4"), status="cancelled"), "answer's status"),
        (says(message("4"), error={"code": "server_error", "message": "broke off"}), "broke off"),
        ({**says(), "status": None}, "answer's status"),
        (says({"type": "message", "content": 3}), "a number"),
        (["x"], "not a JSON object"),
    ],
)
def test_a_reply_of_any_model_server_that_is_not_an_answer_is_never_scored(answer: Any, problem: str) -> None:
    async def work() -> tuple[int, dict[str, Any]]:
        async with open_stack(environment("example_session_state_mgmt")) as servers:
            client = Client(LocalTransport(servers))
            model = Replayed(Settings("policy_model", "responses_api_models", "x", "127.0.0.1", 1, {}), client)
            model.prepare([answer])
            servers["policy_model"] = model
            reply = await post(servers[AGENT], "/v1/responses", {"input": "hi"})
            return reply.status, reply.json()

    status, body = asyncio.run(work())
    assert status == 502
    assert body["cause"]["hop"] == "policy_model"
    assert body["cause"]["kind"] == "no_answer"
    assert problem in body["detail"]


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/v1/responses", {"input": "hi", "nonsense": 1}, ["body", "nonsense"]),
        ("/v1/responses", [], ["body"]),
        ("/run", {"responses_create_params": {"nonsense": 1}}, ["body", "responses_create_params", "nonsense"]),
        ("/run", {}, ["body", "responses_create_params"]),
    ],
)
def test_a_wrong_request_is_refused_with_the_place_in_its_body(path: str, body: Any, place: list[str]) -> None:
    async def work() -> tuple[int, dict[str, Any]]:
        async with open_stack(environment("example_session_state_mgmt")) as servers:
            reply = await post(servers[AGENT], path, body)
            return reply.status, reply.json()

    status, answer = asyncio.run(work())
    assert status == 422
    assert answer["detail"][0]["loc"] == place


@pytest.mark.parametrize("row_has_fields", [False, True])
def test_a_rollout_without_a_verdict_has_the_configured_reward(row_has_fields: bool) -> None:
    settings = {"skip_verification": True, "skip_verification_reward": 0.25}
    row: dict[str, Any] = {"responses_create_params": {"input": "count"}, "initial_count": 1, "expected_count": 1}
    if row_has_fields:
        row |= {"reward": 1.0, "verification_skipped": False}

    async def work() -> tuple[dict[str, Any], dict[str, Any]]:
        async with open_stack(environment("example_session_state_mgmt"), **{AGENT: settings}) as servers:
            client = Client(LocalTransport(servers))
            model = Replayed(Settings("policy_model", "responses_api_models", "x", "127.0.0.1", 1, {}), client)
            model.prepare([says(message("1"))])
            servers["policy_model"] = model
            result = (await post(servers[AGENT], "/run", row)).json()
            metrics = await post(servers[AGENT], "/aggregate_metrics", {"verify_responses": [result]})
            return result, metrics.json()

    result, metrics = asyncio.run(work())
    assert (result["reward"], result["verification_skipped"], result["expected_count"]) == (0.25, True, 1)
    assert result["response"]["output"][0]["content"][0]["text"] == "1"
    assert metrics["agent_metrics"]["mean/reward"] == 0.25
