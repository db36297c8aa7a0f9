"""Numbers and failed tools on their way through a whole rollout: row, model, tool, verdict, output."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from model_endpoint import Endpoint, serving
from service_stack import open_stack, service

from gymctl.rollouts.result_line import NotAResultError, result_line
from gymctl.rollouts.tool_errors import parse_tool_errors
from gymctl.server import (
    Call,
    Client,
    LocalTransport,
    Reply,
    ResourcesServer,
    Settings,
    VerifyRequest,
    VerifyResponse,
    tool,
)
from gymctl.server.message import failure_sentence
from gymctl.server.run.loader import load_server_class

pytestmark = pytest.mark.enable_socket

BIG, LONG = "815915283247897734345611269596115894272000000000", "0.12345678901234567890123"
AGENT = service("responses_api_agents", "simple_agent")
MODELS = {
    "vllm_model": ("base_url", {"api_key": "k", "model": "m"}),
    "azure_openai_model": ("openai_base_url", {"openai_api_key": "k", "openai_model": "m"}),
    "openai_model": ("openai_base_url", {"openai_api_key": "k", "openai_model": "m"}),
}
TOOLS = [{"type": "function", "name": name} for name in ("double", "raises", "not_a_number", "echo", "wetter_größe")]


class Exact(ResourcesServer):
    """Tools and a verdict with numbers that orjson alone would change."""

    seen: list[VerifyRequest]

    @tool
    async def double(self, n: int) -> dict[str, Any]:
        return {"twice": 2 * n, "exact": Decimal(LONG)}

    @tool
    async def echo(self, text: str) -> dict[str, Any]:
        return {"text": text}

    @tool
    async def raises(self) -> None:
        raise RuntimeError("\x1b[31mno\x1b[0m\nsuch \x9b1mfile\x07")

    @tool
    async def wetter_größe(self) -> None:  # noqa: PLC2401 - the name is what is tested
        raise RuntimeError

    @tool
    async def not_a_number(self) -> dict[str, Any]:
        return {"mean": float("nan")}

    async def verify(self, body: VerifyRequest) -> VerifyResponse:
        self.seen.append(body)
        extra = body.model_extra or {}
        return VerifyResponse.of(body, float(extra.get("earns", 1.0)), **extra.get("reports", {}), square=int(BIG) ** 2)


def chat(fields: dict[str, Any], finish: str = "stop") -> bytes:
    return json.dumps({"choices": [{"finish_reason": finish, "message": fields}]}).encode()


def completed(*items: dict[str, Any]) -> bytes:
    return json.dumps({"status": "completed", "output": items}).encode()


def answers(model: str, *calls: tuple[str, Any]) -> tuple[bytes, bytes]:
    """What an endpoint of the model's API answers: calls of tools, then a text."""
    if model == "openai_model":
        output = [
            {"type": "function_call", "call_id": f"c{index}", "name": name, "arguments": arguments}
            for index, (name, arguments) in enumerate(calls)
        ]
        last = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]}
        return completed(*output), completed(last)
    functions = [
        {"id": f"c{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(calls)
    ]
    last_answer = chat({"content": "done"})
    if not functions:
        return last_answer, last_answer
    return chat({"content": None, "tool_calls": functions}, "tool_calls"), last_answer


async def roll_out(model: str, row: bytes, *calls: tuple[str, Any]) -> tuple[Reply, list[bytes], list[VerifyRequest]]:
    """The agent's reply, the bodies that the endpoint received, and what the environment was asked to judge."""
    config = service("responses_api_models", model) / "configs" / f"{model}.yaml"
    field, fields = MODELS[model]
    endpoint = Endpoint(*answers(model, *calls))
    async with serving(endpoint) as address:
        policy = {**fields, field: f"{address}/v1", "max_retries": 0}
        async with open_stack(config, policy_model=policy) as servers:
            client = Client(LocalTransport(servers))
            exact = Exact(Settings("exact", "resources_servers", "x", "127.0.0.1", 1, {}), client)
            exact.seen = []
            servers["exact"] = exact
            agent = {
                "resources_server": {"type": "resources_servers", "name": "exact"},
                "model_server": {"type": "responses_api_models", "name": "policy_model"},
            }
            settings = Settings("agent", "responses_api_agents", "simple_agent", "127.0.0.1", 1, agent)
            servers["agent"] = load_server_class(AGENT, "app.py")(settings, client)
            reply = await servers["agent"].handle(Call("/run", row))
            return reply, [body for _, _, body in endpoint.seen], exact.seen


def row_of(**fields: str) -> bytes:
    """A row from JSON texts of its fields."""
    params = f'{{"input":"go","tools":{json.dumps(TOOLS)},"metadata":{{"x":"y"}},"temperature":{LONG}}}'
    texts = {"responses_create_params": params, **fields}
    return b"{" + b",".join(f'"{name}":{text}'.encode() for name, text in texts.items()) + b"}"


def outputs(reply: Reply) -> list[str]:
    items = json.loads(reply.body)["response"]["output"]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("echoed", [False, True])
def test_numbers_stay_what_they_are(model: str, echoed: bool) -> None:
    more = {"reports": '{"answer": 1}', "reward": "0.5"} if echoed else {}
    row = row_of(answer=BIG, exact=LONG, **more)
    calls = [("double", f'{{"n": {BIG}}}')]
    reply, sent, seen = asyncio.run(roll_out(model, row, *calls))
    assert reply.status == 200, reply.body
    line, reward, _ = result_line(reply.body, {"_ng_task_index": 0}, "agent")
    assert reward == 1.0
    result = json.loads(line, parse_float=Decimal)
    assert outputs(reply) == [f'{{"twice":{2 * int(BIG)},"exact":{LONG}}}']
    assert result["exact"] == Decimal(LONG)
    assert result["square"] == int(BIG) ** 2
    assert result["answer"] == (1 if echoed else int(BIG))
    assert result["responses_create_params"]["temperature"] == Decimal(LONG)
    assert all(LONG.encode() in body for body in sent)
    assert (seen[0].model_extra or {})["answer"] == int(BIG)


@pytest.mark.parametrize("model", ["vllm_model", "openai_model"])
def test_arguments_that_are_an_object_reach_the_tool_as_they_are(model: str) -> None:
    first, _ = answers(model, ("double", {"n": int(BIG)}))
    assert BIG.encode() in first
    reply, sent, _ = asyncio.run(roll_out(model, row_of(), ("double", {"n": int(BIG)})))
    assert json.loads(outputs(reply)[0])["twice"] == 2 * int(BIG)
    assert BIG.encode() in sent[1]


def test_tools_that_fail_are_counted_and_told_in_a_sentence() -> None:
    calls = [("raises", "{}"), ("not_a_number", "{}"), ("raises", "{}"), ("echo", '{"text": "a"}')]
    reply, _, _ = asyncio.run(roll_out("vllm_model", row_of(), *calls))
    assert reply.headers["x-gym-tool-errors"] == "exact/not_a_number=1, exact/raises=2"
    first, second, third, fourth = outputs(reply)
    assert json.loads(first) == {"error": "The tool raises failed: RuntimeError: no such file"} == json.loads(third)
    assert json.loads(second)["error"].startswith("The tool not_a_number failed: NotFiniteError: mean is not a finite")
    assert fourth == '{"text":"a"}'


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"\"RuntimeError('\\\\x1b[31mno')\"", "RuntimeError: no"),
        (b"\"KeyError('a', 3)\"", "KeyError: a 3"),
        (b'"ValueError()"', "ValueError"),
        (b'"ValueError(open(1))"', "ValueError(open(1))"),
        (b'"Custom(a=1)"', "Custom(a=1)"),
        (b'{"detail": "RuntimeError: no"}', "RuntimeError: no"),
        (b'{"error": {"message": "no"}}', "no"),
        (b"Internal Server Error", "Internal Server Error"),
        (b"<b>\xff\x1b]0;title\x07no\n\n</b>", "<b>\ufffdno </b>"),
        (b"", ""),
        (b"[1]", "[1]"),
        (b'"%b"' % (b"x" * 600), "x" * 500 + "..."),
    ],
)
def test_what_a_failed_tool_says_as_a_sentence(body: bytes, sentence: str) -> None:
    assert failure_sentence(Reply(500, body)) == sentence


def test_a_failed_tool_may_have_any_name() -> None:
    reply, _, _ = asyncio.run(roll_out("vllm_model", row_of(), ("wetter_größe", "{}")))
    header = reply.headers["x-gym-tool-errors"]
    assert header.isascii()
    assert parse_tool_errors(header) == {"exact/wetter_größe": 1}


def test_a_rollout_without_failed_tools_says_nothing_of_them() -> None:
    reply, _, _ = asyncio.run(roll_out("vllm_model", row_of(), ("echo", '{"text": "a"}')))
    assert "x-gym-tool-errors" not in reply.headers


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("verify", "{}", "Not Found: unknown tool 'verify'; available tools: double, echo, not_a_number, raises, "),
        ("seed_session", "{}", "Not Found: "),
        ("../verify", "{}", "Not Found: "),
        ("docs", "{}", "Not Found: "),
        (None, "{}", "Not Found: the call has no tool name; available tools: double"),
        ("echo", "{", "Invalid tool call arguments: the arguments are not valid JSON: "),
        ("echo", "[1]", "Invalid tool call arguments: the arguments are a list, not a JSON object"),
        ("echo", '"a"', "Invalid tool call arguments: the arguments are text, not a JSON object"),
        ("echo", '{"text": NaN}', "Invalid tool call arguments: the arguments are not valid JSON: NaN at column 10"),
    ],
)
@pytest.mark.parametrize("model", MODELS)
def test_a_mistake_of_the_model_is_told_to_it(model: str, name: Any, arguments: str, problem: str) -> None:
    reply, sent, _ = asyncio.run(roll_out(model, row_of(), (name, arguments)))
    (output,) = outputs(reply)
    assert json.loads(output)["error"].startswith(problem)
    assert orjson.dumps(output) in sent[1]
    assert "x-gym-tool-errors" not in reply.headers


def test_broken_arguments_go_back_to_a_chat_endpoint_as_an_object() -> None:
    _, sent, _ = asyncio.run(roll_out("vllm_model", row_of(), ("echo", '{"text": ')))
    (call,) = orjson.loads(sent[1])["messages"][1]["tool_calls"]
    assert orjson.loads(call["function"]["arguments"]) == {"invalid_arguments": '{"text": '}


@pytest.mark.parametrize("model", MODELS)
def test_half_a_surrogate_pair_reaches_tool_and_output_as_a_replacement(model: str) -> None:
    reply, _, _ = asyncio.run(
        roll_out(model, row_of(), ("echo", '{"text": "a \\ud83d"}'), ("echo", '{"text": "\ud83d"}'))
    )
    assert [json.loads(output)["text"] for output in outputs(reply)] == ["a �", "�"]


@pytest.mark.parametrize("reward", ['"NaN"', '"inf"', '"-inf"', BIG + "0" * 400])
def test_a_reward_is_a_finite_number_or_a_failure(reward: str) -> None:
    reply, _, _ = asyncio.run(roll_out("vllm_model", row_of(earns=reward)))
    assert reply.status == 502
    assert json.loads(reply.body)["cause"]["hop"] == "exact"


@pytest.mark.parametrize("reward", ["1e400", "-1e400", "1" + "0" * 400, "null", "true", '"1"', "[1]", "{}"])
def test_a_reply_without_a_finite_reward_is_not_a_result(reward: str) -> None:
    with pytest.raises(NotAResultError):
        result_line(b'{"reward":%b}' % reward.encode(), {}, "agent")


@pytest.mark.parametrize("reward", ["1", "1.7976931348623157e308", "-0.0", "18446744073709551617"])
def test_any_finite_reward_is_a_result(reward: str) -> None:
    line, value, _ = result_line(b'{"reward":%b}' % reward.encode(), {}, "agent")
    assert value == float(json.loads(reward))
    assert line == b'{"reward":%b}' % reward.encode()


@pytest.mark.parametrize("model", MODELS)
def test_a_history_of_chat_completions_is_converted(model: str) -> None:
    calls = [{"id": "call_1", "type": "function", "function": {"name": "book", "arguments": '{"table": 4}'}}]
    conversation = [
        {"role": "user", "content": "Book."},
        {"role": "assistant", "content": "I will.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
        {"role": "user", "content": [{"type": "text", "text": "Which?"}]},
    ]
    row = orjson.dumps({"responses_create_params": {"input": conversation}})
    _, (sent, *_), _ = asyncio.run(roll_out(model, row))
    body = orjson.loads(sent)
    if model == "openai_model":
        assert [item.get("type", "message") for item in body["input"]] == [
            "message", "message", "function_call", "function_call_output", "message",
        ]  # fmt: skip
        assert body["input"][2]["call_id"] == body["input"][3]["call_id"] == "call_1"
        assert body["input"][4]["content"] == [{"type": "input_text", "text": "Which?"}]
    else:
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "user"]
        assert body["messages"][1]["tool_calls"] == calls
        assert body["messages"][1]["content"] == "I will."


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ({"role": "assistant", "content": None, "tool_calls": "f"}, "input.0.tool_calls"),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}, "input.0.tool_calls.0"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}, "input.0.tool_calls.0.id"),
        ({"role": "tool", "content": "ok"}, "input.0.tool_call_id"),
        ({"role": "tool", "tool_call_id": "c", "content": 3}, "input.0.content"),
        ("text", "input.0"),
    ],
)
def test_a_history_that_cannot_be_converted_is_refused_with_its_place(message: Any, place: str) -> None:
    row = orjson.dumps({"responses_create_params": {"input": [message]}})
    reply, sent, _ = asyncio.run(roll_out("vllm_model", row))
    assert (reply.status, sent) == (422, [])
    assert ".".join(map(str, json.loads(reply.body)["detail"][0]["loc"])) == f"body.{place}"
