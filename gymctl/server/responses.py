"""Items of OpenAI's Responses API as plain mappings: made, and read, without validating what we made ourselves."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gymctl.server.chat_history import items_of
from gymctl.server.message import RefusedError
from gymctl.server.tool_calls import ArgumentsError, new_id, parse_arguments


def message(text: str) -> dict[str, Any]:
    """An assistant's message of one text part."""
    return {
        "id": new_id("msg"),
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


def function_call(name: str, arguments: str, call_id: str | None = None) -> dict[str, Any]:
    """A call of tool ``name``; ``arguments`` is JSON text."""
    return {
        "id": new_id("fc"),
        "type": "function_call",
        "status": "completed",
        "call_id": call_id or new_id("call"),
        "name": name,
        "arguments": arguments,
    }


def reasoning(texts: Iterable[str]) -> dict[str, Any]:
    """What a model thought, one summary part a text; as upstream's, without a status."""
    return {
        "id": new_id("rs"),
        "type": "reasoning",
        "summary": [{"text": text, "type": "summary_text"} for text in texts],
    }


def function_call_output(call_id: str, output: str) -> dict[str, Any]:
    """A tool's answer to the call ``call_id``."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def usage(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """Token counts in the API's shape, details zero."""
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }


def add_usage(total: dict[str, Any] | None, more: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The sum of two usages; a reply without one adds nothing. Details are zeroed, as upstream's."""
    if not more:
        return total
    base = total or {"input_tokens": 0, "output_tokens": 0}
    return usage(
        base["input_tokens"] + int(more.get("input_tokens") or 0),
        base["output_tokens"] + int(more.get("output_tokens") or 0),
    )


def response(model: str, output: Sequence[Mapping[str, Any]], **extra: Any) -> dict[str, Any]:
    """A complete Response object; ``extra`` sets or replaces keys (usage, tools, incomplete_details, ...)."""
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": time.time(),
        "status": "completed",
        "model": model,
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **extra,
    }


def input_items(value: Any) -> list[dict[str, Any]]:
    """``input`` of create params as items: text is one user message, messages of Chat Completions are converted.

    Raises:
        RefusedError: it is neither text nor a list, or an entry has no counterpart; with its place.
    """
    if isinstance(value, str):
        return [{"role": "user", "content": value, "type": "message"}]
    if not isinstance(value, list | tuple | None):
        raise RefusedError(("input",), "must be text or a list of items", "type_error")
    items: list[dict[str, Any]] = []
    for index, entry in enumerate(value or ()):
        try:
            items += items_of(entry)
        except RefusedError as refused:
            raise refused.below("input", index) from refused
    return items


def output_text(reply: Mapping[str, Any]) -> str:
    """All text that a response's messages hold, joined."""
    return "".join(
        str(part.get("text") or "")
        for item in reply.get("output") or ()
        if isinstance(item, Mapping) and item.get("type") == "message"
        for part in _parts(item.get("content"))
    )


def _parts(content: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(content, str):
        return [{"text": content}]
    texts = ("output_text", "input_text", "text")
    return (part for part in content or () if isinstance(part, Mapping) and part.get("type") in texts)


def function_calls(items: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The tool calls among output items."""
    return [item for item in items if item.get("type") == "function_call"]


def call_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a tool call; empty when they are not a JSON object."""
    try:
        return parse_arguments(call.get("arguments"))
    except ArgumentsError:
        return {}


def last_arguments(reply: Mapping[str, Any], tool: str) -> dict[str, Any]:
    """The arguments of a response's last call of ``tool``; empty when there is none."""
    calls = [call for call in function_calls(reply.get("output") or ()) if call.get("name") == tool]
    if calls:
        return call_arguments(calls[-1])
    return {}
