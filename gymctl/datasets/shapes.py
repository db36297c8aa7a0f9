"""Rows of other shapes as rows of NeMo Gym: chat messages, a prompt and an answer, a request of the Responses API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from gymctl.datasets.chat_input import input_of_messages, tools_of_chat
from gymctl.datasets.mapping import RowMapping
from gymctl.datasets.prompts import PARAMS, RowError

_REQUEST_KEYS = (
    "input instructions max_output_tokens max_tool_calls metadata model parallel_tool_calls reasoning temperature text "
    "tool_choice tools top_logprobs top_p truncation user"
).split()
_JSON_COLUMNS = ("messages", "tools", "input", "prompt", PARAMS)


class Shape(StrEnum):
    """How a row holds its prompt."""

    NATIVE = "native"
    MESSAGES = "messages"
    PROMPT = "prompt"
    RESPONSES = "responses"


def shape_of(row: Mapping[str, Any]) -> Shape:
    """The shape of a row, by the column that only it has."""
    if row.get(PARAMS) is not None:
        return Shape.NATIVE
    if row.get("messages") is not None:
        return Shape.MESSAGES
    if row.get("input") is not None:
        return Shape.RESPONSES
    if row.get("prompt") is not None:
        return Shape.PROMPT
    return Shape.NATIVE


def native_row(row: dict[str, Any], mapping: RowMapping) -> dict[str, Any]:
    """The row with ``responses_create_params``; one that has them already is returned as it is.

    Raises:
        RowError: the row has no prompt, or one that cannot be converted.
    """
    if mapping.is_empty and isinstance(row.get(PARAMS), dict):
        return row
    row = mapping.rename(row)
    for name in _JSON_COLUMNS:
        _parse_cell(row, name)
    if mapping.prompt is not None:
        row = mapping.prompt.apply(row)
    else:
        row = _CONVERSIONS[Shape(mapping.shape) if mapping.shape else shape_of(row)](row, mapping)
    if mapping.params:
        row[PARAMS] = {**mapping.params, **(row.get(PARAMS) or {})}
    return row


def _parse_cell(row: dict[str, Any], name: str) -> None:
    """Parse a cell of CSV that holds JSON, in a column whose value is a list or an object."""
    value = row.get(name)
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return
    try:
        row[name] = json.loads(value)
    except ValueError as error:
        if name in ("input", "prompt"):
            return  # a text that begins with a bracket
        raise RowError(f"{name} is not JSON: {error}") from error


def _unchanged(row: dict[str, Any], mapping: RowMapping) -> dict[str, Any]:
    return row


def _from_messages(row: dict[str, Any], mapping: RowMapping) -> dict[str, Any]:
    messages = row.pop("messages", None)
    if not isinstance(messages, list) or not messages:
        raise RowError("messages is empty or not a list; write a list of {role, content}")
    messages = list(messages)
    if isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
        if not mapping.answer:
            raise RowError("the last message is the assistant's; name a column for it with 'answer' in the mapping")
        row[mapping.answer] = messages.pop().get("content")
    params: dict[str, Any] = {"input": input_of_messages(messages)}
    tools = row.pop("tools", None)
    if tools:
        params["tools"] = tools_of_chat(tools)
    return {PARAMS: params, **row}


def _from_prompt(row: dict[str, Any], mapping: RowMapping) -> dict[str, Any]:
    prompt = row.pop("prompt", None)
    if isinstance(prompt, list):
        return _from_messages({"messages": prompt, **row}, mapping)
    if not isinstance(prompt, str) or not prompt:
        raise RowError("prompt is empty or not text; write text, or a list of messages")
    return {PARAMS: {"input": [{"role": "user", "content": prompt}]}, **row}


def _from_request(row: dict[str, Any], mapping: RowMapping) -> dict[str, Any]:
    params = {key: row.pop(key) for key in _REQUEST_KEYS if row.get(key) is not None}
    if "input" not in params:
        raise RowError("the request has no input; add text or a list of items")
    return {PARAMS: params, **row}


_CONVERSIONS: dict[Shape, Callable[[dict[str, Any], RowMapping], dict[str, Any]]] = {
    Shape.NATIVE: _unchanged,
    Shape.MESSAGES: _from_messages,
    Shape.PROMPT: _from_prompt,
    Shape.RESPONSES: _from_request,
}
