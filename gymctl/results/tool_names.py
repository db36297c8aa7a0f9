"""The names of a rollout's tools as one text, in which SQL can look for a whole name."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

_BORDER = "\n"  # JSON escapes it, so it is never part of a name


def encode(names: Iterable[str]) -> str | None:
    """The names as JSON strings between borders; None without a name. The text of one name is part of it."""
    texts = [msgspec.json.encode(name).decode() for name in names]
    if not texts:
        return None
    return _BORDER + (2 * _BORDER).join(texts) + _BORDER


def decode(text: str | None) -> tuple[str, ...]:
    """The names of an encoded text."""
    if text is None:
        return ()
    return tuple(msgspec.json.decode(name, type=str) for name in text.split(_BORDER) if name)
