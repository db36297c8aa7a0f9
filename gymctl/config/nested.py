"""Values inside mappings and lists: copied, found by their key path, and replaced without changing the original."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gymctl.config.diagnostics import KeyPath

_WHOLE_REFERENCE = re.compile(r"^\$\{\s*([\w-]+(?:\.[\w-]+)*)\s*\}$")


def copied(value: Any) -> Any:
    """A copy that shares no list or mapping with ``value``, nor within itself: a YAML alias repeats one object."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a value, after the last key of its path; ``key`` is the one of ``value`` itself."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for inner, item in value.items():
            yield from texts(item, str(inner))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item, key)


def with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A copy with every text changed; keys stay as they are."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: with_texts(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [with_texts(item, change) for item in value]
    return value


def value_at(value: Any, path: KeyPath) -> Any:
    """The value at a key path, which must exist."""
    for part in path:
        value = value[part]
    return value


def with_value(data: Mapping[Any, Any], path: Sequence[Any], value: Any) -> dict[Any, Any]:
    """A copy of ``data`` with ``value`` at a path of mappings; what is not on the path is shared with the original."""
    first, *rest = path
    return {**data, first: with_value(data[first], rest, value) if rest else value}


def follow(text: Any, whole: Mapping[str, Any]) -> Any:
    """What a plain ``${a.b}`` refers to, through further plain ones; anything else is returned as it is."""
    for _ in range(20):
        if isinstance(text, str):
            match = _WHOLE_REFERENCE.match(text)
        else:
            match = None
        if not match:
            break
        value: Any = whole
        for part in match[1].split("."):
            if isinstance(value, dict):
                value = value.get(part)
            else:
                value = None
        if value is None:
            break
        text = value
    return text
