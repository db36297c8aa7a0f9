"""Conversations of rows in Chat Completions' form, as items of the Responses API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gymctl.server.message import RefusedError
from gymctl.server.tool_calls import arguments_text, call_name

_REASONING = ("reasoning_content", "reasoning")


def items_of(message: Any) -> Iterator[Any]:
    """The Responses items of one entry of a conversation; an item of the Responses API is returned as it is.

    An assistant's ``tool_calls`` become function calls after its text, a message of a tool the output of its call.

    Raises:
        RefusedError: a part of a chat message has no counterpart; its place is below the message.
    """
    if not isinstance(message, dict):
        raise RefusedError((), f"malformed item: it must be an object, not {type(message).__name__}", "dict_type")
    role = message.get("role")
    if message.get("type") not in (None, "message") or not isinstance(role, str):
        yield message
    elif role in ("tool", "function"):
        yield _output(message)
    elif role == "assistant" and any(message.get(name) for name in ("tool_calls", "function_call", *_REASONING)):
        yield from _assistant(message)
    else:
        yield _message(message)


def _assistant(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in _REASONING:
        thought = message.get(name)
        if isinstance(thought, str) and thought:
            yield {"type": "reasoning", "id": "rs_history", "summary": [{"type": "summary_text", "text": thought}]}
            break
    if message.get("content"):
        yield _message({name: value for name, value in message.items() if name in ("role", "content", "type")})
    calls = message.get("tool_calls") or ()
    if not isinstance(calls, list | tuple):
        raise RefusedError(("tool_calls",), "must be a list of tool calls", "list_type")
    for index, call in enumerate(calls):
        yield _call(call, index)
    legacy = message.get("function_call")
    if isinstance(legacy, Mapping):
        yield _call({"id": f"call_{legacy.get('name')}", "function": legacy}, 0)


def _call(call: Any, index: int) -> dict[str, Any]:
    if isinstance(call, Mapping):
        function = call.get("function")
    else:
        function = None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise RefusedError(("tool_calls", index), "a tool call must be an object with a function name", "missing")
    identity = call.get("id")
    if not isinstance(identity, str) or not identity:
        raise RefusedError(("tool_calls", index, "id"), "a tool call in a conversation must have an id", "missing")
    return {
        "type": "function_call",
        "call_id": identity,
        "name": call_name(function["name"]),
        "arguments": arguments_text(function.get("arguments")),
    }


def _output(message: Mapping[str, Any]) -> dict[str, Any]:
    identity = message.get("tool_call_id") or (message["role"] == "function" and f"call_{message.get('name')}")
    if not isinstance(identity, str):
        raise RefusedError(("tool_call_id",), "a tool message must have a tool_call_id", "missing")
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(_text_of(part, index) for index, part in enumerate(content))
    if content is not None and not isinstance(content, str):
        raise RefusedError(("content",), "the content of a tool message must be text", "string_type")
    return {"type": "function_call_output", "call_id": identity, "output": content or ""}


def _text_of(part: Any, index: int) -> str:
    if isinstance(part, Mapping):
        text = part.get("text")
    else:
        text = part
    if not isinstance(text, str):
        raise RefusedError(("content", index), "the content of a tool message must be text", "string_type")
    return text


def _message(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list) and any(_is_of_chat(part) for part in content):
        if message.get("role") == "assistant":
            kind = "output_text"
        else:
            kind = "input_text"
        return {**message, "content": [_part(part, kind) for part in content]}
    if content is None and message.get("role") == "assistant":
        return {**message, "content": ""}
    return message


def _is_of_chat(part: Any) -> bool:
    return isinstance(part, str) or (isinstance(part, Mapping) and part.get("type") in ("text", "image_url"))


def _part(part: Any, kind: str) -> Any:
    """A part of a content in the names of the Responses API."""
    if isinstance(part, str):
        return {"type": kind, "text": part}
    if not isinstance(part, Mapping):
        return part
    if part.get("type") == "text":
        return {**part, "type": kind}
    image = part.get("image_url")
    if part.get("type") == "image_url" and isinstance(image, Mapping):
        return {"type": "input_image", "image_url": image.get("url"), "detail": image.get("detail") or "auto"}
    return part
