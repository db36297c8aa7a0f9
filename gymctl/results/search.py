"""Literal text in results files of any size, in constant memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

_CHUNK = 4 << 20


class Source(Protocol):
    """A file that can be read from any place."""

    def seek(self, offset: int, /) -> int:
        """Move to an offset."""

    def read(self, size: int, /) -> bytes | None:
        """Read up to ``size`` bytes."""


@dataclass(frozen=True)
class SearchText:
    """What to look for. ``ignore_case`` holds for ASCII letters."""

    text: str
    ignore_case: bool = False

    def spellings(self) -> list[bytes]:
        """How JSON may spell the text: as UTF-8 or with ASCII escapes, once, or twice in JSON within JSON."""
        raw = self.text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        once = [json.dumps(raw, ensure_ascii=False)[1:-1], json.dumps(raw)[1:-1]]
        twice = [json.dumps(inner, ensure_ascii=False)[1:-1] for inner in once]
        return [text.encode() for text in dict.fromkeys([*once, *twice])]


def matching_offsets(source: Source, text: SearchText, end: int) -> Iterator[int]:
    """Offsets before ``end`` at which the text begins: the first one of each line that has any."""
    spellings = text.spellings()
    if not text.text:
        return
    flags = re.IGNORECASE if text.ignore_case else 0
    pattern = re.compile(b"|".join(re.escape(spelling) for spelling in spellings), flags)
    overlap = max(len(spelling) for spelling in spellings) - 1
    simple = spellings[0] if len(spellings) == 1 and not text.ignore_case else None
    base = 0
    line_done = False
    kept = b""
    while base < end:
        source.seek(base + len(kept))
        more = source.read(min(_CHUNK, end - base - len(kept))) or b""
        data = kept + more
        last = not more or base + len(data) >= end
        limit = len(data) if last else len(data) - overlap
        position = 0
        while position < limit:
            if line_done:
                newline = data.find(b"\n", position, limit)
                if newline < 0:
                    break
                position = newline + 1
                line_done = False
            found = _find(data, position, simple, pattern)
            if found < 0 or found >= limit:
                break
            yield base + found
            line_done = True
            position = found
        if last:
            return
        kept = data[limit:]
        base += limit


def _find(data: bytes, position: int, simple: bytes | None, pattern: re.Pattern[bytes]) -> int:
    if simple is not None:
        return data.find(simple, position)
    match = pattern.search(data, position)
    return match.start() if match else -1
