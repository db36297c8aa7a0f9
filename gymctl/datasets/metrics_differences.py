"""How two metrics files differ, by NeMo Gym's rule: every old key is there again, with the same value or nearly so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """One sentence for each difference; keys that only the new one has are not differences."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key, value in old.items():
            if place:
                below = f"{place}.{key}"
            else:
                below = str(key)
            if key in new:
                yield from differences(value, new[key], below)
            else:
                yield f"{below} is missing now"
    elif isinstance(old, list) and isinstance(new, list):
        if not _same_items(old, new):
            yield f"{place} was {old}, is {new}"
    elif isinstance(old, float) and isinstance(new, float):
        if not _close(old, new):
            yield f"{place} was {old}, is {new}"
    elif old != new:
        yield f"{place} was {old!r}, is {new!r}"


def _close(old: float, new: float) -> bool:
    tolerance = 5e-4
    if max(abs(old), abs(new)) >= 1:
        tolerance = 5e-3
    return abs(old - new) <= tolerance


def _same_items(old: Sequence[Any], new: Sequence[Any]) -> bool:
    """Whether two lists hold the same items in any order."""
    rest = list(new)
    for item in old:
        index = next((index for index, other in enumerate(rest) if not any(differences(item, other))), None)
        if index is None:
            return False
        del rest[index]
    return not rest
