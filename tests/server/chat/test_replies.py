"""Chat completion to Response, case by case."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gymctl.server import HopFailed
from gymctl.server.chat import NoTokenIdsError, Style, generated, only_thought, response_of
from gymctl.server.models.answers import Api, read_answer

PARSED, TAGGED = Style(), Style(reasoning_parser=False)
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
IDS = {"prompt_token_ids": [1], "generation_token_ids": [2, 3], "generation_log_probs": [-0.1, -0.2]}

MESSAGES: dict[str, tuple[dict[str, Any], list[tuple[Any, ...]], Style]] = {
    "a text": ({"content": "a"}, [("text", "a")], PARSED),
    "nothing": ({"content": None}, [("text", "")], PARSED),
    "an empty text": ({"content": ""}, [("text", "")], PARSED),
    "a refusal": ({"content": None, "refusal": "no"}, [("text", "no")], PARSED),
    "a call": ({"content": None, "tool_calls": [CALL]}, [("call", "call_1")], PARSED),
    "text and calls": (
        {"content": "a", "tool_calls": [CALL, {**CALL, "id": "call_2"}]},
        [("text", "a"), ("call", "call_1"), ("call", "call_2")],
        PARSED,
    ),
    "reasoning_content": ({"content": "a", "reasoning_content": "why"}, [("thought", "why"), ("text", "a")], PARSED),
    "reasoning": ({"content": "a", "reasoning": "why"}, [("thought", "why"), ("text", "a")], PARSED),
    "both fields": (
        {"content": "a", "reasoning_content": "why", "reasoning": "why"},
        [("thought", "why"), ("text", "a")],
        PARSED,
    ),
    "reasoning alone": ({"content": None, "reasoning": "why"}, [("thought", "why")], PARSED),
    "reasoning and a call": (
        {"content": None, "reasoning": "why", "tool_calls": [CALL]},
        [("thought", "why"), ("call", "call_1")],
        PARSED,
    ),
    "tags": ({"content": "<think>why</think>a"}, [("thought", "why"), ("text", "a")], PARSED),
    "two pairs of tags": (
        {"content": "<think>x</think><think>y</think>a"},
        [("thought", "x", "y"), ("text", "a")],
        PARSED,
    ),
    "tags over lines": (
        {"content": "<think>\nx\n</think>\n\na\n"},
        [("thought", "\nx\n"), ("text", "\n\na\n")],
        PARSED,
    ),
    "tags and a field": (
        {"content": "<think>y</think>a", "reasoning": "x"},
        [("thought", "x", "y"), ("text", "a")],
        PARSED,
    ),
    "tags without a parser": ({"content": "<think>why</think>a"}, [("text", "<think>why</think>a")], TAGGED),
    "an open tag": ({"content": "<think>why"}, [("text", "<think>why")], PARSED),
    "a closing tag": ({"content": "why</think>a"}, [("text", "why</think>a")], PARSED),
}


def summary_of(item: dict[str, Any]) -> tuple[Any, ...]:
    if item["type"] == "reasoning":
        assert item["id"].startswith("rs_")
        return ("thought", *(part["text"] for part in item["summary"]))
    if item["type"] == "message":
        assert item["id"].startswith("msg_") and item["role"] == "assistant"
        return ("text", *(part["text"] for part in item["content"]))
    assert item["id"] == item["call_id"]
    assert (item["name"], item["arguments"]) == ("f", '{"a":1}')
    return ("call", item["call_id"])


def completion(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    return {"id": "x", "object": "chat.completion", "choices": [{**choice, **more.pop("choice", {})}], **more}


def answer(whole: dict[str, Any], params: dict[str, Any] | None = None, style: Style = PARSED) -> dict[str, Any]:
    completion = read_answer(Api.CHAT, orjson.dumps(whole), "model").value
    return response_of(completion, {"input": "u", **(params or {})}, "m", style)


@pytest.mark.parametrize("case", MESSAGES)
def test_a_message(case: str) -> None:
    message, items, style = MESSAGES[case]
    reply = answer(completion(message), style=style)
    assert [summary_of(item) for item in reply["output"]] == items
    assert (reply["object"], reply["status"], reply["model"], reply["usage"]) == ("response", "completed", "m", None)
    assert reply["id"].startswith("resp_")
    assert all(item["status"] == "completed" for item in reply["output"] if item["type"] != "reasoning")


@pytest.mark.parametrize("case", MESSAGES)
def test_training_fields_are_on_the_last_item_only(case: str) -> None:
    message, _, style = MESSAGES[case]
    *others, last = answer(completion({**message, **IDS}), style=style)["output"]
    assert {name: last[name] for name in IDS} == IDS
    assert not any(IDS.keys() & item.keys() for item in others)


@pytest.mark.parametrize(
    ("finish", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_why_it_ended(finish: str, status: str, details: dict[str, str] | None) -> None:
    reply = answer(completion({"content": "a"}, finish))
    assert (reply["status"], reply.get("incomplete_details")) == (status, details)


def test_what_was_asked_is_repeated() -> None:
    params = {"tools": [{"type": "function", "name": "f"}], "tool_choice": "required", "temperature": 0, "metadata": {}}
    reply = answer(completion({"content": "a"}), params)
    assert {name: reply[name] for name in params} == params
    assert answer(completion({"content": "a"}))["tool_choice"] == "auto"


def test_usage() -> None:
    params = {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": None,
    }
    assert answer(completion({"content": "a"}, usage=params))["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }


def test_log_probs_are_on_the_text_where_they_were_asked_for() -> None:
    token = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
    whole = completion({"content": "a"}, choice={"logprobs": {"content": [token]}})
    (item,) = answer(whole, {"top_logprobs": 1})["output"]
    assert item["content"][0]["logprobs"] == [token]
    (item,) = answer(whole)["output"]
    assert "logprobs" not in item["content"][0]


@pytest.mark.parametrize("value", [None, [], {}, {"choices": []}, {"choices": [{}]}, {"choices": {}}, {"error": "x"}])
def test_what_is_no_completion(value: Any) -> None:
    with pytest.raises(HopFailed):
        read_answer(Api.CHAT, orjson.dumps(value), "model")


def token(text: str, logprob: float = -0.5) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": None, "top_logprobs": []}


def test_token_ids_of_either_vllm() -> None:
    old = {"logprobs": {"content": [token("token_id:5", -0.1), token("token_id:6", -0.2)]}}
    assert generated(old) == ([5, 6], [-0.1, -0.2])
    assert generated({**old, "token_ids": [7, 8]}) == ([7, 8], [-0.1, -0.2])
    assert generated({"logprobs": {"content": []}}) == ([], [])


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({}, "the answer has no log-probs"),
        ({"logprobs": None}, "the answer has no log-probs"),
        ({"logprobs": {"content": None}}, "the answer has no log-probs"),
        ({"logprobs": {"content": [token(" the")]}}, "token text instead of token ids"),
        (
            {"logprobs": {"content": [token("token_id:5")]}, "token_ids": [5, 6]},
            "received 2 token ids but 1 log-probs",
        ),
    ],
)
def test_token_ids_that_did_not_come(choice: dict[str, Any], text: str) -> None:
    with pytest.raises(NoTokenIdsError, match=text):
        generated(choice)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "assistant", "content": "", "reasoning": "why"}, True),
        ({"role": "assistant", "content": "<think>why</think>"}, True),
        ({"role": "assistant", "content": [{"type": "text", "text": "<think>why</think>"}]}, True),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, False),
        ({"role": "assistant", "content": "a"}, False),
        ({"role": "user", "content": ""}, False),
    ],
)
def test_only_thought(message: dict[str, Any], expected: bool) -> None:
    assert only_thought(message) is expected
