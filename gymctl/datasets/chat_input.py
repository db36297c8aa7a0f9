"""Messages and tools of Chat Completions as input and tools of the Responses API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gymctl.datasets.json_values import as_object
from gymctl.datasets.prompts import RowError

_ROLES = ("user", "system", "developer")


def input_of_messages(messages: list[Any]) -> list[dict[str, Any]]:
    """Items of an input, in the order of the messages.

    Raises:
        RowError: a message has an unknown role or an unusable content.
    """
    return [item for index, message in enumerate(messages) for item in _items(message, f"messages[{index}]")]


def tools_of_chat(tools: Any) -> list[dict[str, Any]]:
    """Tools one level flatter; those that are flat already are kept.

    Raises:
        RowError: one is not a function with a name.
    """
    if not isinstance(tools, list):
        raise RowError("tools is not a list")
    return [_tool(tool, index) for index, tool in enumerate(tools)]


def _tool(tool: Any, index: int) -> dict[str, Any]:
    function = as_object(tool).get("function", tool)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowError(f"tools[{index}] is not a function with a name")
    flat = {"type": "function", "name": function["name"]}
    if function.get("description") is not None:
        flat["description"] = function["description"]
    flat["parameters"] = function.get("parameters") or {"type": "object", "properties": {}}
    flat["strict"] = function.get("strict")
    return flat


def _items(message: Any, place: str) -> Iterator[dict[str, Any]]:
    role = as_object(message).get("role")
    if role == "assistant":
        yield from _assistant(message, place)
    elif role == "tool":
        yield _tool_output(message, place)
    elif role in _ROLES:
        yield {"role": role, "content": _content(message.get("content"), place)}
    else:
        raise RowError(f"{place}: the role is {role!r}; it must be one of {', '.join(_ROLES)}, assistant, tool")


def _assistant(message: Mapping[str, Any], place: str) -> Iterator[dict[str, Any]]:
    content = message.get("content")
    calls = message.get("tool_calls") or ()
    if content or not calls:
        yield {"role": "assistant", "content": _text(content, place)}
    for call in map(as_object, calls):
        function = as_object(call.get("function"))
        if not isinstance(function.get("name"), str) or not call.get("id"):
            raise RowError(f"{place}: a tool call needs an id and a function with a name")
        arguments = function.get("arguments") or {}
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        yield {
            "type": "function_call",
            "call_id": call["id"],
            "name": function["name"],
            "arguments": arguments,
        }


def _tool_output(message: Mapping[str, Any], place: str) -> dict[str, Any]:
    call_id = message.get("tool_call_id")
    if not isinstance(call_id, str):
        raise RowError(f"{place}: a tool message needs a tool_call_id")
    return {"type": "function_call_output", "call_id": call_id, "output": _text(message.get("content"), place)}


def _text(content: Any, place: str) -> str:
    """Content as one text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        return "".join(str(part.get("text", "")) for part in content)
    raise RowError(f"{place}: the content is not text")


def _content(content: Any, place: str) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise RowError(f"{place}: the content is missing; write text or a list of parts")
    return [_part(part, place) for part in content]


def _part(part: Any, place: str) -> dict[str, Any]:
    part = as_object(part)
    kind = part.get("type")
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "input_text", "text": part["text"]}
    if kind == "image_url":
        image = part.get("image_url")
        if not isinstance(image, dict):
            image = {"url": image}
        return {"type": "input_image", "image_url": image.get("url"), "detail": image.get("detail") or "auto"}
    raise RowError(f"{place}: a part of the content is {kind!r}; it must be text or image_url")
