"""Create params to chat request, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from gymctl.server import RefusedError
from gymctl.server.chat import Style, request_of

PARSED, TAGGED = Style(), Style(reasoning_parser=False)
IDS = {"prompt_token_ids": [1, 2], "generation_token_ids": [3], "generation_log_probs": [-0.5]}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def answer_message(text: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


def thought(*texts: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text} for text in texts]}


def called(identity: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": identity, "name": name, "arguments": arguments}


def tool_output(identity: str, output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": identity, "output": output}


def assistant(content: str | None, *calls: str, **more: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content, **more}
    if calls:
        message["tool_calls"] = [
            {"id": call, "type": "function", "function": {"name": "f", "arguments": "{}"}} for call in calls
        ]
    return message


def reasoned(text: str) -> dict[str, str]:
    return {"reasoning_content": text, "reasoning": text}


CONVERSATIONS: dict[str, tuple[Any, list[dict[str, Any]], Style]] = {
    "a text": ("hi", [user([{"type": "text", "text": "hi"}])], PARSED),  # type: ignore[arg-type]
    "a message without a type": ([user("hi")], [user("hi")], PARSED),
    "text parts": (
        [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        PARSED,
    ),
    "an image": (
        [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x", "detail": "low"}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}]}],
        PARSED,
    ),
    "an image without detail": (
        [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x", "detail": None}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x", "detail": "auto"}}]}],
        PARSED,
    ),
    "system and developer": (
        [{"role": "system", "content": "s"}, {"role": "developer", "content": "d"}, user("u")],
        [{"role": "system", "content": "s"}, {"role": "developer", "content": "d"}, user("u")],
        PARSED,
    ),
    "developer as system": (
        [{"role": "developer", "content": "d"}],
        [{"role": "system", "content": "d"}],
        Style(developer_as_system=True),
    ),
    "assistant texts run together": (
        [answer_message("a"), answer_message("b"), user("u")],
        [assistant("ab"), user("u")],
        PARSED,
    ),
    "an assistant's plain text": ([{"role": "assistant", "content": "a"}], [assistant("a")], PARSED),
    "a refusal": (
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        [assistant("no")],
        PARSED,
    ),
    "an assistant that said nothing": ([user("u"), answer_message(""), user("v")], [user("u"), user("v")], PARSED),
    "calls and their outputs": (
        [called("c1"), called("c2"), tool_output("c1", "1"), tool_output("c2", "2")],
        [
            assistant(None, "c1", "c2"),
            {"role": "tool", "content": "1", "tool_call_id": "c1"},
            {"role": "tool", "content": "2", "tool_call_id": "c2"},
        ],
        PARSED,
    ),
    "an output of parts": (
        [tool_output("c1", [{"type": "input_text", "text": "1"}])],
        [{"role": "tool", "content": [{"type": "text", "text": "1"}], "tool_call_id": "c1"}],
        PARSED,
    ),
    "text with calls": ([answer_message("a"), called("c1")], [assistant("a", "c1")], PARSED),
    "reasoning in a field": ([thought("why"), answer_message("a")], [assistant("a", **reasoned("why"))], PARSED),
    "reasoning in tags": ([thought("why"), answer_message("a")], [assistant("<think>why</think>a")], TAGGED),
    "reasoning of two parts": ([thought("x", "y"), answer_message("a")], [assistant("a", **reasoned("x\ny"))], PARSED),
    "two blocks of reasoning": (
        [thought("x", "y"), answer_message("a")],
        [assistant("<think>x</think><think>y</think>a")],
        TAGGED,
    ),
    "reasoning alone": ([thought("why")], [assistant("", **reasoned("why"))], PARSED),
    "reasoning and a call": ([thought("why"), called("c1")], [assistant("", "c1", **reasoned("why"))], PARSED),
    "reasoning before each call": (
        [thought("x"), called("c1"), tool_output("c1", "1"), thought("y"), answer_message("a")],
        [
            assistant("", "c1", **reasoned("x")),
            {"role": "tool", "content": "1", "tool_call_id": "c1"},
            assistant("a", **reasoned("y")),
        ],
        PARSED,
    ),
    "reasoning that is not sent back": (
        [thought("why"), answer_message("a")],
        [assistant("a")],
        Style(interleaved=False),
    ),
    "empty reasoning": (
        [{"type": "reasoning", "id": "rs", "summary": []}, answer_message("a")],
        [assistant("a")],
        PARSED,
    ),
    "reasoning text of an open model": (
        [{"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "why"}]}],
        [assistant("", **reasoned("why"))],
        PARSED,
    ),
    "tags in an assistant's text": (
        [answer_message("<think>why</think>a")],
        [assistant("a", **reasoned("why"))],
        PARSED,
    ),
    "tags in an assistant's text stay": (
        [answer_message("<think>why</think>a")],
        [assistant("<think>why</think>a")],
        TAGGED,
    ),
    "tags in a user's text": ([user("<think>why</think>a")], [user("<think>why</think>a")], PARSED),
    "a tag without its other half": ([answer_message("a <think> b")], [assistant("a <think> b")], PARSED),
    "training fields": ([{**answer_message("a"), **IDS}], [assistant("a", **IDS)], Style(token_ids=True)),
    "training fields on the turn they belong to": (
        [{**answer_message("a"), **IDS}, user("u"), answer_message("b")],
        [assistant("a", **IDS), user("u"), assistant("b")],
        Style(token_ids=True),
    ),
    "training fields that nobody asked for": ([{**answer_message("a"), **IDS}], [assistant("a")], PARSED),
}


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_a_conversation(case: str) -> None:
    items, messages, style = CONVERSATIONS[case]
    assert request_of({"input": items}, style)["messages"] == messages


TOOL = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
CHAT_TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}

PARAMETERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "what both have": (
        {"temperature": 0.5, "top_p": 0.9, "user": "u", "metadata": {"a": "b"}, "model": "m", "store": True},
        {"temperature": 0.5, "top_p": 0.9, "user": "u", "metadata": {"a": "b"}, "model": "m", "store": True},
    ),
    "null": ({"temperature": None, "max_output_tokens": None, "tools": None, "text": None}, {}),
    "zero": ({"temperature": 0}, {"temperature": 0}),
    "max_output_tokens": ({"max_output_tokens": 7}, {"max_tokens": 7}),
    "tools": ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [CHAT_TOOL], "tool_choice": "auto"}),
    "a required tool": (
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [CHAT_TOOL], "tool_choice": "required"},
    ),
    "one tool by name": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}},
        {"tools": [CHAT_TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    ),
    "one call at a time": (
        {"tools": [TOOL], "parallel_tool_calls": False},
        {"tools": [CHAT_TOOL], "parallel_tool_calls": False},
    ),
    "no tools": ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}, {}),
    "a schema": (
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
            }
        },
    ),
    "any JSON": ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    "plain text": ({"text": {"format": {"type": "text"}}}, {}),
    "effort": ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
    "log-probs": ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
    "alternatives": ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
    "what chat has no word for": ({"include": [], "truncation": "auto", "max_tool_calls": 3, "background": False}, {}),
}


@pytest.mark.parametrize("case", PARAMETERS)
def test_parameters(case: str) -> None:
    params, expected = PARAMETERS[case]
    body = {"input": [user("u")], **params}
    before = repr(body)
    assert request_of(body, PARSED) == {"messages": [user("u")], **expected}
    assert repr(body) == before


def test_instructions_lead_and_take_the_system_messages_behind_them_in() -> None:
    items = [
        {"role": "system", "content": "s"},
        {"role": "developer", "content": [{"type": "input_text", "text": "d"}]},
    ]
    later = {"role": "system", "content": "later"}
    request = request_of({"input": [*items, user("u"), later], "instructions": "i"}, PARSED)
    assert request["messages"] == [{"role": "system", "content": "i\n\ns\n\nd"}, user("u"), later]
    assert request_of({"input": "u", "instructions": "i"}, PARSED)["messages"][0] == {"role": "system", "content": "i"}


WRONG: dict[str, tuple[dict[str, Any], list[Any], str]] = {
    "no input": ({}, ["input"], "Field required"),
    "an input of a number": ({"input": 1}, ["input"], "a string or a list of items"),
    "an unknown parameter": ({"input": "u", "stop": "x"}, ["stop"], "Extra inputs are not permitted"),
    "a stream": ({"input": "u", "stream": True}, ["stream"], "not supported"),
    "another response": ({"input": "u", "previous_response_id": "r"}, ["previous_response_id"], "not supported"),
    "an item that is a text": ({"input": ["u"]}, ["input", 0], "malformed"),
    "an item of no type": ({"input": [{}]}, ["input", 0, "type"], "cannot be sent to Chat"),
    "an item of another kind": (
        {"input": [user("u"), {"type": "mcp_call"}]},
        ["input", 1, "type"],
        "'mcp_call' cannot be sent",
    ),
    "an unknown role": ({"input": [{"role": "judge", "content": "x"}]}, ["input", 0, "role"], "unknown role 'judge'"),
    "no content": ({"input": [{"role": "user"}]}, ["input", 0], "'content' is missing"),
    "an output without its call": (
        {"input": [{"type": "function_call_output", "output": "x"}]},
        ["input", 0],
        "'call_id' is missing",
    ),
    "a file": (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        ["input", 0, "content", 0],
        "'input_file' cannot be sent",
    ),
    "an image by its id": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        ["input", 0, "content", 0],
        "with an image_url",
    ),
    "a tool of the provider": ({"input": "u", "tools": [{"type": "web_search"}]}, ["tools", 0], "only named functions"),
    "a required tool of none": ({"input": "u", "tool_choice": "required"}, ["tool_choice"], "at least one tool"),
    "one of several tools": (
        {"input": "u", "tools": [TOOL], "tool_choice": {"type": "allowed_tools"}},
        ["tool_choice"],
        "expected auto, none, required",
    ),
    "instructions of a number": ({"input": "u", "instructions": 3}, ["instructions"], "valid string"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_said_is_refused_with_its_place(case: str) -> None:
    params, place, text = WRONG[case]
    with pytest.raises(RefusedError) as refused:
        request_of(params, PARSED)
    reply = refused.value.reply()
    assert reply.status == 422
    assert reply.json()["detail"][0]["loc"] == ["body", *place]
    assert text in reply.json()["detail"][0]["msg"]
