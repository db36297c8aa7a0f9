"""The script that stands in for a model: what it calls, when it stops, and that it says what it is."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest
from service_stack import SCRIPTED, open_stack, post

NAME = "scripted-model (not a language model)"


def ask(path: str, params: dict[str, Any], **settings: Any) -> dict[str, Any]:
    async def work() -> dict[str, Any]:
        async with open_stack(SCRIPTED, policy_model=settings) as servers:
            reply = await post(servers["policy_model"], path, params)
            assert reply.status == 200, reply.body
            body: dict[str, Any] = reply.json()
            return body

    return asyncio.run(work())


def tool(name: str, required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    expected = list(properties) if required is None else required
    return {
        "type": "function",
        "name": name,
        "parameters": {"type": "object", "properties": properties, "required": expected},
    }


def called(question: str, *tools: dict[str, Any], **more: Any) -> list[tuple[str, Any]]:
    reply = ask("/v1/responses", {"input": question, "tools": list(tools), **more})
    return [
        (item["name"], orjson.loads(item["arguments"])) for item in reply["output"] if item["type"] == "function_call"
    ]


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("question", "schema", "values"),
    [
        ("Is it wet in Oslo or Cairo?", TEXT, ["Oslo", "Cairo"]),
        ("Say \"one thing\" and 'another'.", TEXT, ["one thing", "another"]),
        ("don't quote what isn't quoted", TEXT, ["don't quote what isn't quoted"]),
        ("Add 3, then -4, then 3.", {"type": "integer"}, [3, -4, 3]),
        ("Use 1.5 please", {"type": "number"}, [1.5]),
        ("no figure here", {"type": ["integer", "null"]}, [1]),
        ("paint it red", {"type": "string", "enum": ["blue", "red"]}, ["red"]),
        ("paint it", {"enum": ["blue", "red"]}, ["blue"]),
        ("go", {"type": "boolean"}, [True]),
        ("go", {"type": "object"}, [{}]),
        ("take 1 2 3", {"type": "array", "items": {"type": "integer"}}, [[1, 2, 3]]),
        ('take "a" and "b"', {"type": "array", "items": {"type": "string"}}, [["a", "b"]]),
        ("anything", {}, ["anything"]),
    ],
)
def test_arguments_are_found_in_the_prompt(question: str, schema: dict[str, Any], values: list[Any]) -> None:
    assert called(question, tool("act", x=schema)) == [("act", {"x": value}) for value in values]


def test_several_parameters_make_one_call_and_optional_ones_are_left_out() -> None:
    both = tool("send", ["to", "times"], to=TEXT, times={"type": "integer"}, note=TEXT)
    assert called("Send it to Ada 2 times", both) == [("send", {"to": "Ada", "times": 2})]
    assert called("Hello", tool("ping")) == [("ping", {})]


def test_a_prompt_full_of_numbers_does_not_become_a_hundred_calls() -> None:
    question = " ".join(str(number) for number in range(100))
    assert len(called(question, tool("act", x={"type": "integer"}))) == 8


def test_without_parallel_calls_it_makes_them_one_at_a_time() -> None:
    tools = [tool("act", x={"type": "integer"}), tool("look")]
    items: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "add 1 and 2"}]}]
    seen = []
    for _ in range(4):
        reply = ask("/v1/responses", {"input": items, "tools": tools, "parallel_tool_calls": False})
        (item,) = reply["output"]
        seen.append(item.get("arguments", item["type"]))
        output = {"type": "function_call_output", "call_id": item.get("call_id", ""), "output": "{}"}
        items = [*items, item, output]
    assert seen == ['{"x":1}', '{"x":2}', "{}", "message"]


def test_a_new_question_starts_the_script_again() -> None:
    first = [{"role": "user", "content": "add 1"}, {"type": "function_call", "name": "act", "arguments": '{"x":1}'}]
    again = [*first, {"role": "user", "content": "add 2"}]
    tools = [tool("act", x={"type": "integer"})]
    assert ask("/v1/responses", {"input": first, "tools": tools})["output"][0]["type"] == "message"
    assert ask("/v1/responses", {"input": again, "tools": tools})["output"][0]["arguments"] == '{"x":2}'


def test_tool_choice_is_followed() -> None:
    tools = [tool("one"), tool("two")]
    assert called("go", *tools, tool_choice="none") == []
    assert called("go", *tools, tool_choice={"type": "function", "name": "two"}) == [("two", {})]


def test_it_says_that_it_is_no_language_model() -> None:
    reply = ask("/v1/responses", {"input": "Who are you?", "instructions": "Be brief."})
    assert reply["model"] == NAME
    assert "not a language model" in reply["output"][0]["content"][0]["text"]
    chat = ask("/v1/chat/completions", {"messages": [{"role": "user", "content": "Who are you?"}]})
    assert chat["model"] == NAME
    assert "not a language model" in chat["choices"][0]["message"]["content"]


def test_chat_completions_follows_the_same_script() -> None:
    offered = [{"type": "function", "function": tool("get_weather", city=TEXT)}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "How is Oslo? And how is Cairo?"}]
    first = ask("/v1/chat/completions", {"messages": messages, "tools": offered})["choices"][0]
    assert first["finish_reason"] == "tool_calls"
    calls = first["message"]["tool_calls"]
    assert [orjson.loads(call["function"]["arguments"])["city"] for call in calls] == ["Oslo", "Cairo"]
    assert len({call["id"] for call in calls}) == 2
    messages += [first["message"], *({"role": "tool", "tool_call_id": call["id"], "content": "{}"} for call in calls)]
    last = ask("/v1/chat/completions", {"messages": messages, "tools": offered})
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"] > 0


def test_latency_is_waited_out() -> None:
    started = time.perf_counter()
    ask("/v1/responses", {"input": "hi"}, latency_ms=60)
    assert time.perf_counter() - started >= 0.06
