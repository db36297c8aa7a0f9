"""Amounts of memory as people write them: ``512mb``, ``1.5 GiB``. The units are those of Docker, all powers of 1024."""

from __future__ import annotations

import re
from typing import Any

_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?:(?P<power>[kmgt])i?b?|(?P<bytes>b))?", re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


def size_in_bytes(size: str | int) -> int:
    """Bytes of a size: ``512mb`` is 536,870,912; a number without a unit is bytes already, as in Compose.

    Raises:
        ValueError: it is not a size.
    """
    match = _SIZE.fullmatch(str(size).strip())
    if match is None:
        raise ValueError(f"{size!r} is not a size")
    power = _POWERS.get((match["power"] or "").lower(), 0)
    return int(float(match["number"]) * 1024**power)


def is_size(value: Any) -> bool:
    """Whether it is a size as Compose accepts it: text, with or without a unit."""
    return isinstance(value, str) and _SIZE.fullmatch(value) is not None


def is_size_with_unit(value: Any) -> bool:
    """Whether it is a size with a unit; configurations require one, because plain bytes are rarely intended."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
    else:
        match = None
    return match is not None and bool(match["power"] or match["bytes"])


def size_in_words(size: int) -> str:
    """A number of bytes as text, such as ``192 MiB``."""
    if size >= 2**30:
        unit = "GiB"
        factor = 2**30
    else:
        unit = "MiB"
        factor = 2**20
    return f"{round(size / factor, 1):g} {unit}"
