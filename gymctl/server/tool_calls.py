"""Calls of tools as models make them up: read in one way, whatever their shape, and answered in words a model can use.

A call without a name, with broken arguments or of another type is the model's mistake. It is kept as a function call,
so that the model sees it again with the answer that says what is wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gymctl.config import exact_json

UNNAMED = "unnamed_call"
"""The name of a call that has none: endpoints refuse a conversation in which one has an empty name."""

_MOST_NAMES = 20
_LONGEST_NAME = 128
_NAME = re.compile(r"[\x21-\x7e\u00a1-\U0010ffff]+")
_EMPTY = frozenset(("", "null"))


class ArgumentsError(ValueError):
    """Arguments that are not a JSON object; the message is for the model."""


def new_id(kind: str) -> str:
    """An id that no other item has, which begins with its kind."""
    return f"{kind}_{os.urandom(16).hex()}"


def call_name(value: Any) -> str:
    """The name of a call; ``UNNAMED`` when it is not text with something in it.

    What endpoints refuse in a name when it comes back in a conversation (blanks, control characters, more than 128
    characters) is replaced.
    """
    if not isinstance(value, str) or not value.strip():
        return UNNAMED
    if len(value) <= _LONGEST_NAME and _NAME.fullmatch(value):
        return value
    return re.sub(r"[^\w.:/-]", "_", value[:_LONGEST_NAME])


def arguments_text(value: Any) -> str:
    """The arguments of a call as JSON text: an object where a model gives none, and as they are where they are text."""
    if value is None:
        return "{}"
    if not isinstance(value, str):
        return exact_json.dumps(value).decode()
    if value.strip() in _EMPTY:
        return "{}"
    return value


def parse_arguments(value: Any) -> dict[str, Any]:
    """The arguments of a call, numbers exactly as they are written.

    Raises:
        ArgumentsError: they are not a JSON object.
    """
    written = arguments_text(value)
    if not written.isascii():
        written = written.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = exact_json.repair(written.encode())
    try:
        arguments = exact_json.loads(text)
    except ValueError as error:
        problem = exact_json.explain(text) or str(error)
        raise ArgumentsError(f"the arguments are not valid JSON: {problem}") from error
    if not isinstance(arguments, dict):
        raise ArgumentsError(f"the arguments are {_kind(arguments)}, not a JSON object")
    return arguments


def history_arguments(value: Any) -> str:
    """The arguments of an earlier call for an endpoint, which may refuse what is not a JSON object."""
    text = arguments_text(value)
    try:
        parse_arguments(text)
    except ArgumentsError:
        return exact_json.dumps({"invalid_arguments": text}).decode()
    return exact_json.repair(text.encode(errors="replace")).decode()


def distinct_ids(calls: Iterable[dict[str, Any]], key: str) -> bool:
    """Give calls without an id, or with one that an earlier call of the answer has, an id; whether any was changed."""
    seen: set[str] = set()
    changed = False
    for call in calls:
        identity = call.get(key)
        if not isinstance(identity, str) or not identity:
            identity = new_id("call")
        base = identity
        count = 1
        while identity in seen:
            count += 1
            identity = f"{base}_{count}"
        seen.add(identity)
        if call.get(key) != identity:
            call[key] = identity
            changed = True
    return changed


def offered_tools(tools: Any) -> frozenset[str]:
    """Names of the functions that create params offer, in the shape of either API."""
    names: set[str] = set()
    for tool in tools if isinstance(tools, Sequence) and not isinstance(tools, str) else ():
        if not isinstance(tool, Mapping) or tool.get("type", "function") != "function":
            continue
        nested = tool.get("function")
        if isinstance(nested, Mapping):
            name = nested.get("name")
        else:
            name = tool.get("name")
        if isinstance(name, str):
            names.add(name)
    return frozenset(names)


def unknown_tool(name: str, offered: frozenset[str]) -> str:
    """The answer to a call of a tool that the row does not offer, as JSON text."""
    if name == UNNAMED:
        problem = "the call has no tool name"
    else:
        problem = f"unknown tool {name[:200]!r}"
    return answer_text(f"Not Found: {problem}; {_listed(offered)}")


def answer_text(problem: str) -> str:
    """What is wrong with a call, as the JSON text that the model gets for an answer."""
    return exact_json.dumps({"error": problem}).decode()


def _listed(offered: frozenset[str]) -> str:
    if not offered:
        return "no tools are available"
    names = sorted(offered)
    if len(names) > _MOST_NAMES:
        more = f" and {len(names) - _MOST_NAMES} more"
    else:
        more = ""
    return f"available tools: {', '.join(names[:_MOST_NAMES])}{more}"


def _kind(value: Any) -> str:
    names: dict[type, str] = {list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
