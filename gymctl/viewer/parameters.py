"""From the parameters of an address to a query of the index."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from starlette.datastructures import QueryParams

from gymctl.errors import InputError
from gymctl.results import DEFAULT_PASS_THRESHOLD, Outcome, Query, Sort

PAGE = 100
_MOST_VALUES = 50
_LARGEST = 1 << 62

Choice = TypeVar("Choice", bound=Enum)
Value = TypeVar("Value")


def read_query(values: QueryParams) -> Query:
    """The query of a list of rollouts: names as in the options of ``gymctl results list``, with underscores.

    Raises:
        InputError: a value is not of its type.
    """
    return Query(
        agents=texts(values, "agent"),
        tasks=tuple(_whole(text, "task") for text in texts(values, "task")),
        outcome=choice(values, "outcome", Outcome),
        pass_threshold=threshold(values),
        min_reward=number(values, "min_reward"),
        max_reward=number(values, "max_reward"),
        failure_classes=texts(values, "failure_class"),
        failure_hops=texts(values, "hop"),
        tools=texts(values, "tool"),
        truncated=flag(values, "truncated"),
        tool_errors=flag(values, "tool_errors"),
        min_tokens=_optional(values, "min_tokens", _whole),
        max_tokens=_optional(values, "max_tokens", _whole),
        min_ms=_milliseconds(values, "min_seconds"),
        max_ms=_milliseconds(values, "max_seconds"),
        attempts=bool(flag(values, "attempts")),
        sort=choice(values, "sort", Sort) or Sort.FILE,
        descending=bool(flag(values, "desc")),
        offset=whole(values, "offset"),
        limit=min(PAGE, whole(values, "limit", PAGE)),
    )


def threshold(values: QueryParams) -> float:
    """The reward from which a rollout counts as passed."""
    value = number(values, "threshold")
    if value is None:
        return DEFAULT_PASS_THRESHOLD
    return value


def texts(values: QueryParams, name: str) -> tuple[str, ...]:
    """Every value of a parameter that is not empty."""
    return tuple(text for text in values.getlist(name) if text)[:_MOST_VALUES]


def number(values: QueryParams, name: str) -> float | None:
    """A finite number, or None when the parameter is missing or empty."""
    return _optional(values, name, _finite)


def whole(values: QueryParams, name: str, default: int = 0) -> int:
    """A whole number that is not negative."""
    value = _optional(values, name, _whole)
    if value is None:
        return default
    if value < 0:
        raise InputError(f"{name} is {value}", "it must not be negative")
    return value


def flag(values: QueryParams, name: str) -> bool | None:
    """``1`` or ``0``, or None when the parameter is missing or empty."""
    value = _optional(values, name, _whole)
    if value is None:
        return None
    return bool(value)


def choice(values: QueryParams, name: str, choices: type[Choice]) -> Choice | None:
    """A member of an Enum by its value, or None when the parameter is missing or empty."""
    text = values.get(name)
    if not text:
        return None
    for member in choices:
        if member.value == text:
            return member
    expected = ", ".join(str(member.value) for member in choices)
    raise InputError(f"{name} is {text[:100]!r}", f"expected one of: {expected}")


def _optional(values: QueryParams, name: str, parse: Callable[[str, str], Value]) -> Value | None:
    text = values.get(name)
    if not text:
        return None
    return parse(text, name)


def _milliseconds(values: QueryParams, name: str) -> float | None:
    seconds = number(values, name)
    if seconds is None:
        return None
    return seconds * 1000


def _finite(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{name} is {text[:100]!r}", "it must be a number")
    return value


def _whole(text: str, name: str) -> int:
    value = _finite(text, name)
    if not value.is_integer() or abs(value) > _LARGEST:
        raise InputError(f"{name} is {text[:100]!r}", "it must be a whole number")
    return int(value)
