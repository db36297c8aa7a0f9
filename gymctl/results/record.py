"""The record of a run, as far as it can be read: what it was started with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from gymctl.results.values import as_mapping

_ABSENT = "(not set)"


def read_record(path: Path) -> dict[str, Any] | None:
    """The identity in a run's record, or None when there is none: NeMo Gym's collectors write none."""
    try:
        record = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    identity = as_mapping(record).get("identity")
    if isinstance(identity, dict):
        return identity
    return None


def differences(first: Mapping[str, Any], second: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, str]]:
    """The entries that differ, each as its dotted path and both values as text."""
    for name in sorted(first.keys() | second.keys()):
        one = first.get(name, _ABSENT)
        other = second.get(name, _ABSENT)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from differences(one, other, f"{path}{name}.")
        elif one != other:
            yield f"{path}{name}", _text(one), _text(other)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value, default=str).decode()
