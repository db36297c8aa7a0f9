"""A rollout as a chat: the prompt's messages, what followed, and the tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gymctl.datasets.options import ReasoningStyle
from gymctl.server.chat import Style, messages_of
from gymctl.server.message import RefusedError
from gymctl.server.responses import input_items


class NotChatError(Exception):
    """A rollout that cannot be converted to a chat; the message names the item."""


@dataclass(frozen=True)
class ExportedConversation:
    """The messages before the policy's first turn and from there on, and the tools, in the form of the chat API."""

    prompt: list[dict[str, Any]]
    completion: list[dict[str, Any]]
    tools: list[dict[str, Any]]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All messages."""
        return [*self.prompt, *self.completion]

    @property
    def ends_with_answer(self) -> bool:
        """Whether the last message is the assistant's, with text."""
        last: dict[str, Any] = next(reversed(self.messages), {})
        return last.get("role") == "assistant" and bool(last.get("content")) and not last.get("tool_calls")

    @property
    def has_tool_calls(self) -> bool:
        """Whether the policy called a tool."""
        return any(message.get("tool_calls") for message in self.completion)


def conversation_of(
    result: Mapping[str, Any], reasoning: ReasoningStyle, *, developer_as_system: bool = True, token_ids: bool = False
) -> ExportedConversation:
    """The chat of a rollout.

    Args:
        result: a line of the results.
        reasoning: where the model's reasoning goes.
        developer_as_system: whether messages of the developer become those of the system, as most templates want it.
        token_ids: whether the assistant's messages have the training fields of their turn.

    Raises:
        NotChatError: an item has no place in a chat.
    """
    params = result.get("responses_create_params")
    response = result.get("response")
    if not isinstance(params, dict) or not isinstance(response, dict):
        raise NotChatError("the rollout has no responses_create_params or no response")
    style = Style(
        reasoning_parser=reasoning is not ReasoningStyle.THINK,
        interleaved=reasoning is ReasoningStyle.FIELD,
        developer_as_system=developer_as_system,
        token_ids=token_ids,
    )
    try:
        before = list(input_items(params.get("input")))
        after = list(response.get("output") or ())
        prompt = [_tidy(message) for message in messages_of(before, style)]
        everything = [_tidy(message) for message in messages_of([*before, *after], style)]
        tools = [_tool(tool) for tool in params.get("tools") or ()]
    except (RefusedError, KeyError, TypeError, AttributeError) as error:
        raise NotChatError(f"an item cannot be converted to a chat message: {error}") from error
    if params.get("instructions"):
        prompt = _led_by(params["instructions"], prompt)
        everything = _led_by(params["instructions"], everything)
    if everything[: len(prompt)] != prompt:
        raise NotChatError("the output continues the last input message")
    return ExportedConversation(prompt=prompt, completion=everything[len(prompt) :], tools=tools)


def _led_by(instructions: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Instructions and a system message after them as one message: many templates take only one."""
    first: dict[str, Any] = next(iter(messages), {})
    if first.get("role") in ("system", "developer") and isinstance(first["content"], str):
        return [{**first, "content": f"{instructions}\n\n{first['content']}"}, *messages[1:]]
    return [{"role": "system", "content": instructions}, *messages]


def _tidy(message: dict[str, Any]) -> dict[str, Any]:
    """One field for reasoning, text as text, and arguments of calls as objects."""
    message.pop("reasoning", None)
    content = message.get("content")
    if content is None:
        message["content"] = ""
    elif isinstance(content, list) and all(part["type"] == "text" for part in content):
        message["content"] = "".join(part["text"] for part in content)
    for call in message.get("tool_calls") or ():
        call["function"]["arguments"] = _arguments(call["function"]["arguments"])
    return message


def _arguments(text: Any) -> Any:
    """Arguments as an object; a text that is not one stays text."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return text
    if isinstance(value, dict):
        return value
    return text


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool["name"]}
    if tool.get("description"):
        function["description"] = tool["description"]
    function["parameters"] = tool.get("parameters") or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def as_text_arguments(conversation: ExportedConversation) -> ExportedConversation:
    """The conversation with arguments of calls as JSON text."""
    return ExportedConversation(
        prompt=with_text_arguments(conversation.prompt),
        completion=with_text_arguments(conversation.completion),
        tools=conversation.tools,
    )


def with_text_arguments(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with arguments of calls as JSON text, as the chat API itself has them."""
    return [_with_text_arguments(message) for message in messages]


def _with_text_arguments(message: dict[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if not calls:
        return message
    return {**message, "tool_calls": [_text_call(call) for call in calls]}


def _text_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call["function"])
    if not isinstance(function["arguments"], str):
        function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
    return {**call, "function": function}
