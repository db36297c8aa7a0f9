"""Reasoning inside a text: ``<think>...</think>``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)
# What vLLM's reasoning parsers call the field: ``reasoning`` from 0.16, ``reasoning_content`` before.
REASONING_FIELDS = ("reasoning_content", "reasoning")


def split_thinking(text: str) -> tuple[list[str], str]:
    """The closed ``<think>`` blocks of a text, and the text without them; a tag without its other half is text."""
    if "<think>" not in text:
        return [], text
    return _THOUGHT.findall(text), _THOUGHT.sub("", text)


def wrap_thinking(thoughts: Iterable[str]) -> str:
    """Thoughts as ``<think>`` blocks, empty ones left out."""
    return "".join(f"<think>{thought}</think>" for thought in thoughts if thought)


def reasoning_of(message: Mapping[str, Any]) -> str:
    """The reasoning that an endpoint's parser took out of a message; empty when there is none."""
    for field in REASONING_FIELDS:
        if message.get(field):
            return str(message[field])
    return ""


def fold_reasoning(message: dict[str, Any]) -> None:
    """Put reasoning that a parser took out of a message back into its text: the chat API has no field for it."""
    thought = reasoning_of(message)
    for field in REASONING_FIELDS:
        message.pop(field, None)
    if thought:
        message["content"] = wrap_thinking((thought,)) + (message.get("content") or "")


def only_thought(message: Mapping[str, Any]) -> bool:
    """Whether a chat message is an assistant's without text and tool calls."""
    if message.get("role") != "assistant" or message.get("tool_calls"):
        return False
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return not (content and split_thinking(str(content))[1])
