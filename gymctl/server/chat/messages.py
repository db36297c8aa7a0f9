"""Items of a Responses conversation as chat messages: one assistant message for everything in one turn of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gymctl.server.chat.style import Style
from gymctl.server.chat.thinking import REASONING_FIELDS, split_thinking, wrap_thinking
from gymctl.server.chat.token_ids import TRAINING_FIELDS
from gymctl.server.chat_history import items_of
from gymctl.server.message import RefusedError
from gymctl.server.tool_calls import history_arguments

_SYSTEM = {True: "system", False: "developer"}


def messages_of(items: Sequence[Any], style: Style) -> list[dict[str, Any]]:
    """The chat messages of a conversation.

    Consecutive assistant messages, reasoning and function calls are one assistant message, which ends at the next
    message of somebody else, or tool output.

    Raises:
        RefusedError: an item is none of message, reasoning, function_call, function_call_output, or lacks a part.
    """
    return convert_items(items, style).messages


@dataclass(frozen=True)
class ConvertedItems:
    """The messages of a conversation, and how many of both nothing that follows can change."""

    messages: list[dict[str, Any]]
    closed_items: int
    closed_messages: int


def convert_items(items: Sequence[Any], style: Style, first: int = 0) -> ConvertedItems:
    """As ``messages_of``, for the part of a conversation that begins with its item ``first``.

    Raises:
        RefusedError: as ``messages_of``; the place counts from the beginning of the conversation.
    """
    messages: list[dict[str, Any]] = []
    closed_items = 0
    closed_messages = 0
    turn = _Turn(style)
    for index, entry in enumerate(items, first):
        try:
            for item in items_of(entry):
                turn.add(item, messages)
        except (KeyError, TypeError, AttributeError) as error:
            lacking = f"{error} is missing" if isinstance(error, KeyError) else f"malformed item: {error}"
            raise RefusedError(("input", index), lacking, "missing") from error
        except RefusedError as refused:
            raise refused.below("input", index) from refused
        if not turn.is_open:
            closed_items = index - first + 1
            closed_messages = len(messages)
    turn.flush(messages)
    return ConvertedItems(messages, closed_items, closed_messages)


def prepare_messages(messages: Sequence[Any], style: Style) -> None:
    """Adapt a caller's chat messages in place to what the endpoint expects: roles, and the place of reasoning.

    Raises:
        RefusedError: a message is not an object with a role.
    """
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or "role" not in message:
            raise RefusedError(("messages", index), "expected an object with a role", "missing")
        if message["role"] == "developer" and style.developer_as_system:
            message["role"] = "system"
        if message.get("tool_calls") == []:
            del message["tool_calls"]  # chat templates take its mere presence for calls
        if message["role"] == "assistant" and style.reasoning_parser:
            _take_thoughts_out(message, style)


def _take_thoughts_out(message: dict[str, Any], style: Style) -> None:
    content = message.get("content")
    holders: list[Any] = content if isinstance(content, list) else [message]
    name = "text" if isinstance(content, list) else "content"
    thoughts: list[str] = []
    for holder in holders:
        if isinstance(holder, dict) and isinstance(holder.get(name), str):
            reasoning, holder[name] = split_thinking(holder[name])
            thoughts += reasoning
    if thoughts and style.interleaved:
        message.update(dict.fromkeys(REASONING_FIELDS, "\n".join(thoughts)))


def text_of(content: Any) -> str:
    """The text in a content of either API; a refusal counts as text."""
    if isinstance(content, str):
        return content
    texts = [part.get("text") or part.get("refusal") or "" for part in content or ()]
    return "".join(texts)


class _Turn:
    """The assistant's items since the last message of another role."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._clear()

    def _clear(self) -> None:
        self._spoken: list[tuple[bool, str]] = []  # whether it was thought, and what, in the order in which it came
        self._calls: list[dict[str, Any]] = []
        self._training: dict[str, Any] = {}

    @property
    def is_open(self) -> bool:
        """Whether the next item may belong to the same turn."""
        return bool(self._spoken or self._calls or self._training)

    def add(self, item: Mapping[str, Any], messages: list[dict[str, Any]]) -> None:
        """Take one item; the message of anybody else than the assistant ends the turn, and both go to ``messages``."""
        other = self._take(item)
        if other is not None:
            self.flush(messages)
            messages.append(other)

    def _take(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """Add an item of the assistant; the message of any other role is returned."""
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind == "function_call_output":
            return {"role": "tool", "content": _content(item["output"]), "tool_call_id": item["call_id"]}
        if kind == "message" and item["role"] != "assistant":
            return self._other(item)
        if kind == "message":
            self._spoken.append((False, text_of(item["content"])))
        elif kind == "function_call":
            function = {"name": item["name"], "arguments": history_arguments(item["arguments"])}
            self._calls.append({"id": item["call_id"], "type": "function", "function": function})
        elif kind == "reasoning":
            parts = item.get("summary") or item.get("content") or ()
            self._spoken += [(True, text_of([part])) for part in parts]
        else:
            raise RefusedError(("type",), f"items of type {kind!r} cannot be sent to Chat Completions")
        self._keep_training_fields(item)
        return None

    def _keep_training_fields(self, item: Mapping[str, Any]) -> None:
        """Remember the token ids of an item, for models that are trained on them."""
        if self._style.token_ids and item.get("prompt_token_ids"):
            self._training = {name: item[name] for name in TRAINING_FIELDS if item.get(name) is not None}

    def _other(self, item: Mapping[str, Any]) -> dict[str, Any]:
        role = item["role"]
        if role not in ("user", "system", "developer"):
            raise RefusedError(("role",), f"unknown role {role!r}; expected user, assistant, system or developer")
        if role == "developer":
            role = _SYSTEM[self._style.developer_as_system]
        return {"role": role, "content": _content(item["content"])}

    def flush(self, messages: list[dict[str, Any]]) -> None:
        """Add the turn, if there was one, to ``messages``, and begin the next."""
        if not (self._calls or any(text for _, text in self._spoken)):
            self._clear()
            return
        message: dict[str, Any] = {"role": "assistant", "content": None}
        if self._spoken:
            message.update(self._parsed() if self._style.reasoning_parser else self._in_one_text())
        if self._calls:
            message["tool_calls"] = self._calls
        messages.append(message | self._training)
        self._clear()

    def _in_one_text(self) -> dict[str, Any]:
        return {"content": "".join([wrap_thinking((text,)) if thought else text for thought, text in self._spoken])}

    def _parsed(self) -> dict[str, Any]:
        """The text without reasoning, including reasoning in tags within the text."""
        thoughts = [text for thought, text in self._spoken if thought and text]
        tagged, text = split_thinking("".join([text for thought, text in self._spoken if not thought]))
        thoughts += tagged
        fields = REASONING_FIELDS if thoughts and self._style.interleaved else ()
        return {"content": text, **dict.fromkeys(fields, "\n".join(thoughts))}


def _content(content: Any) -> Any:
    """A content of user, system, developer or tool: text as it is, parts in the names that the chat API has."""
    if isinstance(content, str):
        return content
    return [_part(part, index) for index, part in enumerate(content)]


def _part(part: Mapping[str, Any], index: int) -> dict[str, Any]:
    kind = part["type"]
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": part["text"]}
    if kind == "input_image" and part.get("image_url"):
        image = {"url": part["image_url"], "detail": part.get("detail") or "auto"}
        return {"type": "image_url", "image_url": image}
    text = f"parts of type {kind!r} cannot be sent; only text and images with an image_url are supported"
    raise RefusedError(("content", index), text)
