"""Parts of JSON values that may have any type: what they hold when they have the expected one, else nothing."""

from __future__ import annotations

from typing import Any


def as_object(value: Any) -> dict[str, Any]:
    """The value when it is an object, else an empty one."""
    if isinstance(value, dict):
        return value
    return {}


def as_list(value: Any) -> list[Any]:
    """The value when it is a list, else an empty one."""
    if isinstance(value, list):
        return value
    return []


def agent_name(row: dict[str, Any]) -> Any:
    """The agent that a row names; None when it names none."""
    return as_object(row.get("agent_ref")).get("name")
