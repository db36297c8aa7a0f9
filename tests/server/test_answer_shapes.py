"""What a model makes up inside of an answer, made what the OpenAI API defines."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gymctl.server import HopFailed
from gymctl.server.models.answers import Api, read_answer

STOP = {"finish_reason": "stop"}


def message(fields: dict[str, Any]) -> dict[str, Any]:
    """The message of a completion, as it is read."""
    body = orjson.dumps({"choices": [{**STOP, "message": fields}]})
    result: dict[str, Any] = read_answer(Api.CHAT, body, "model").value["choices"][0]["message"]
    return result


def items(*output: Any) -> list[dict[str, Any]]:
    """The output of a Response, as it is read."""
    body = orjson.dumps({"status": "completed", "output": output})
    result: list[dict[str, Any]] = read_answer(Api.RESPONSES, body, "model").value["output"]
    return result


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a", "a"),
        (None, None),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        (["a", {"type": "output_text", "text": "b"}, {"type": "text", "text": None}], "ab"),
        ({"type": "text", "text": "a"}, "a"),
        ([{"type": "refusal", "refusal": "no"}], "no"),
    ],
)
def test_content(content: Any, text: Any) -> None:
    assert message({"content": content})["content"] == text


@pytest.mark.parametrize("content", [3, True, [3], [[]], [{"type": "image_url"}], [{"text": 3}], {"a": 1}])
@pytest.mark.parametrize("name", ["content", "refusal", "reasoning_content", "reasoning"])
def test_content_without_a_meaning_is_not_an_answer(content: Any, name: str) -> None:
    with pytest.raises(HopFailed) as caught:
        message({name: content})
    assert caught.value.kind == "no_answer"


def test_thoughts_among_the_parts_of_a_content() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    read = message({"content": [thought, {"type": "text", "text": "a"}]})
    assert (read["content"], read["reasoning_content"]) == ("a", "hm")
    first, second = items({"type": "message", "content": [thought, {"type": "output_text", "text": "a"}]})
    assert (first["type"], first["summary"][0]["text"]) == ("reasoning", "hm")
    assert [part["text"] for part in second["content"]] == ["a"]


CALLS: list[tuple[Any, str, str]] = [
    ({"id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}}, "f", '{"a": 1}'),
    ({"id": "c", "function": {"name": "f", "arguments": ""}}, "f", "{}"),
    ({"id": "c", "function": {"name": "f", "arguments": "null"}}, "f", "{}"),
    ({"id": "c", "function": {"name": "f", "arguments": None}}, "f", "{}"),
    ({"id": "c", "function": {"name": "f"}}, "f", "{}"),
    ({"id": "c", "function": {"name": "f", "arguments": {"a": [1]}}}, "f", '{"a":[1]}'),
    ({"id": "c", "function": {"name": "f", "arguments": "{"}}, "f", "{"),
    ({"id": "c", "function": {"name": "f", "arguments": 3}}, "f", "3"),
    ({"id": "c", "function": {"name": None, "arguments": "{}"}}, "unnamed_call", "{}"),
    ({"id": "c", "function": {"name": "", "arguments": "{}"}}, "unnamed_call", "{}"),
    ({"id": "c", "function": {"name": ["f"], "arguments": "{}"}}, "unnamed_call", "{}"),
    ({"id": "c", "function": None}, "unnamed_call", "{}"),
    ({"id": "c"}, "unnamed_call", "{}"),
    ({"id": "c", "type": "custom", "custom": {"name": "f", "input": "42"}}, "f", "42"),
    ("f()", "unnamed_call", "f()"),
    (None, "unnamed_call", "{}"),
    ([], "unnamed_call", "[]"),
]


@pytest.mark.parametrize(("call", "name", "arguments"), CALLS)
def test_calls(call: Any, name: str, arguments: str) -> None:
    (read,) = message({"content": None, "tool_calls": [call]})["tool_calls"]
    assert read["function"] == {"name": name, "arguments": arguments}
    assert (read["type"], bool(read["id"])) == ("function", True)


@pytest.mark.parametrize(("call", "name", "arguments"), [case for case in CALLS if isinstance(case[0], dict)])
def test_calls_of_a_response(call: dict[str, Any], name: str, arguments: str) -> None:
    body = call.get("function") or call.get("custom") or {}
    kind = "custom_tool_call" if "custom" in call else "function_call"
    (read,) = items({"type": kind, "call_id": "c", **body})
    assert (read["type"], read["name"], read["arguments"]) == ("function_call", name, arguments)


def test_a_function_call_of_the_older_api() -> None:
    (read,) = message({"content": None, "function_call": {"name": "f", "arguments": "{}"}})["tool_calls"]
    assert read["function"] == {"name": "f", "arguments": "{}"}


@pytest.mark.parametrize("calls", [{}, "f", 3, True])
def test_calls_that_are_not_a_list_are_not_an_answer(calls: Any) -> None:
    with pytest.raises(HopFailed, match=r"tool_calls are .*, not a list"):
        message({"content": "a", "tool_calls": calls})


def test_every_call_has_an_id_of_its_own() -> None:
    function = {"name": "f", "arguments": "{}"}
    calls = [{"id": identity, "function": function} for identity in ("a", "a", None, 3, "", "a_2", "a")]
    ids = [call["id"] for call in message({"tool_calls": calls})["tool_calls"]]
    assert ids[0] == "a"
    assert len(set(ids)) == len(ids)
    output = items(*({"type": "function_call", "call_id": identity, **function} for identity in ("a", "a", None)))
    assert len({item["call_id"] for item in output}) == 3


def test_numbers_of_arguments_that_are_an_object_stay_as_they_are() -> None:
    exact = '{"a":18446744073709551617,"b":0.1234567890123456789}'
    chat = b'{"choices":[{"finish_reason":"stop","message":{"tool_calls":[{"function":{"name":"f","arguments":%b}}]}}]}'
    read = read_answer(Api.CHAT, chat % exact.encode(), "model").value
    assert read["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == exact
    response = b'{"status":"completed","output":[{"type":"function_call","name":"f","call_id":"c","arguments":%b}]}'
    assert read_answer(Api.RESPONSES, response % exact.encode(), "model").value["output"][0]["arguments"] == exact


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": "3", "completion_tokens": 4.0, "total_tokens": "7"}, (3, 4, 7)),
        ({"prompt_tokens": 3, "completion_tokens": None}, (3, None, None)),
        ({"prompt_tokens": "many", "completion_tokens": 4}, None),
        ({"prompt_tokens": -1, "completion_tokens": 4}, None),
        ({"prompt_tokens": True, "completion_tokens": 4}, None),
        ([3], None),
        ("3", None),
        ({}, None),
        (None, None),
    ],
)
def test_token_counts(usage: Any, read: Any) -> None:
    body = orjson.dumps({"usage": usage, "choices": [{**STOP, "message": {"content": "a"}}]})
    result = read_answer(Api.CHAT, body, "model").value["usage"]
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert (result and tuple(result.get(name) or None for name in names)) == read


@pytest.mark.parametrize("item", ["x", 3, None, [], {}, {"type": None}, {"type": 3}, {"type": "message", "content": 3}])
def test_items_without_a_meaning_are_not_an_answer(item: Any) -> None:
    with pytest.raises(HopFailed) as caught:
        items(item)
    assert caught.value.kind == "no_answer"


@pytest.mark.parametrize("content", ["a", ["a"], [{"type": "output_text", "text": "a"}], {"type": "text", "text": "a"}])
def test_messages_of_a_response(content: Any) -> None:
    (item,) = items({"role": "assistant", "content": content})
    assert item["type"] == "message"
    assert [part["text"] for part in item["content"]] == ["a"]


def test_what_is_in_shape_keeps_its_bytes() -> None:
    body = b'{ "status": "completed", "n": 1.50, "output": [ {"type":"web_search_call","x":12345678901234567890123} ] }'
    assert read_answer(Api.RESPONSES, body, "model").body == body


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**60)
    | st.text(max_size=4)
    | st.floats(allow_nan=False, allow_infinity=False)
)
ANYTHING = st.recursive(
    LEAVES,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "type text content name arguments function id call_id role summary input code message".split()
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=10,
)
MESSAGES = st.dictionaries(
    st.sampled_from("content tool_calls function_call reasoning reasoning_content refusal role logprobs".split()),
    ANYTHING | st.lists(ANYTHING, max_size=3),
    max_size=5,
)


@settings(max_examples=400, deadline=None)
@given(MESSAGES, ANYTHING, ANYTHING, ANYTHING)
def test_any_completion_is_an_answer_in_shape_or_a_failure(fields: Any, usage: Any, error: Any, finish: Any) -> None:
    for reason in ("stop", finish):
        body = {"choices": [{"finish_reason": reason, "message": fields}], "usage": usage, "error": error}
        try:
            answer = read_answer(Api.CHAT, orjson.dumps(body), "model")
        except HopFailed as failed:
            assert failed.kind in ("no_answer", "status")
            continue
        assert error is None
        assert orjson.loads(answer.body)
        read = answer.value["choices"][0]["message"]
        assert read.get("content") is None or isinstance(read["content"], str)
        for call in read.get("tool_calls") or ():
            assert call["function"]["name"]
            assert isinstance(call["function"]["arguments"], str)


@settings(max_examples=400, deadline=None)
@given(st.lists(ANYTHING, max_size=4), ANYTHING, ANYTHING)
def test_any_response_is_an_answer_in_shape_or_a_failure(output: Any, usage: Any, details: Any) -> None:
    body = {"status": "completed", "output": output, "usage": usage, "incomplete_details": details}
    try:
        answer = read_answer(Api.RESPONSES, orjson.dumps(body), "model")
    except HopFailed as failed:
        assert failed.kind in ("no_answer", "status")
        return
    for item in answer.value["output"]:
        assert isinstance(item["type"], str)
        if item["type"] == "function_call":
            assert item["name"]
            assert item["call_id"]
            assert isinstance(item["arguments"], str)
