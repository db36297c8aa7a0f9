"""Values of JSON that may be of any type, read as what they should be."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

# What a decoder raises for text that is not JSON, not of the expected shape, not UTF-8 or nested too deeply.
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_HUGE = 1 << 63  # SQLite's integers end below
_NAME_CHARACTERS = 200
_OBJECT_START = 24


def as_mapping(value: Any) -> Mapping[str, Any]:
    """An object as it is; empty for everything else."""
    if isinstance(value, Mapping):
        return value
    return {}


def as_list(value: Any) -> Sequence[Any]:
    """A list as it is; empty for everything else."""
    if isinstance(value, list):
        return value
    return ()


def loose_object(line: bytes) -> dict[str, Any] | None:
    """A JSON object as ``loose_value`` reads it, or None."""
    value = loose_value(line)
    if isinstance(value, dict):
        return value
    return None


def loose_value(data: bytes) -> Any:
    """A JSON value that may have NaN, lone surrogates, broken UTF-8 or a byte order mark; None for what is not JSON."""
    try:
        return json.loads(data.decode("utf-8-sig", "replace"))
    except UNREADABLE:
        return None


def name_text(value: Any) -> str:
    """A name as bounded text that any encoder takes; empty for what is not text."""
    if not isinstance(value, str):
        return ""
    return value[:_NAME_CHARACTERS].encode("utf-8", "replace").decode()


def integer(value: Any) -> int | None:
    """An index or a count, or None: booleans and fractions are neither."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    if not -_HUGE <= value < _HUGE:
        return None
    return value


def number(value: Any) -> float | None:
    """A finite number, a boolean as 0 or 1; None for everything else."""
    if not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    if not math.isfinite(result):
        return None
    return result


def is_tool_error(output: msgspec.Raw | bytes) -> bool:
    """Whether the ``output`` of a tool call (a JSON value) reports an error.

    An error is an object, or the text of one, with an ``error`` that is not empty, or with FastAPI's ``detail`` and
    nothing else: what NeMo Gym's and gymctl's agents hand to the model when a tool or its arguments fail.
    """
    data = bytes(output)
    # most outputs are decided here, and this is called for every tool call of a file
    if b"{" not in data[:_OBJECT_START] or (b'"error' not in data and b'"detail' not in data[:_OBJECT_START]):
        return False
    value = loose_value(data)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = loose_value(value.encode("utf-8", "replace"))
    return isinstance(value, Mapping) and (bool(value.get("error")) or list(value) == ["detail"])


def input_texts(value: Any, depth: int = 6) -> Iterator[str]:
    """The texts of an ``input``: a string, or the messages of a list and their parts; other values give none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        inner = value.get("content", value.get("text", value.get("output")))
        if depth > 0:
            yield from input_texts(inner, depth - 1)
    elif isinstance(value, list) and depth > 0:
        for item in value:
            yield from input_texts(item, depth - 1)
