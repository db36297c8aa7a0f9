"""Literal text in results files of any size, in constant memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

_CHUNK = 4 << 20

Find = Callable[[bytes, int], int]
"""From bytes and a position to the position of the next match, or -1."""


class Source(Protocol):
    """A file that can be read from any place."""

    def seek(self, offset: int, /) -> int:
        """Move to an offset."""

    def read(self, size: int, /) -> bytes | None:
        """Read up to ``size`` bytes."""


@dataclass(frozen=True)
class SearchText:
    """What to look for. ``ignore_case`` applies to ASCII letters."""

    text: str
    ignore_case: bool = False

    def spellings(self) -> list[bytes]:
        """How JSON may spell the text: as UTF-8 or with ASCII escapes, once, or twice in JSON within JSON."""
        text = self.text.encode("utf-8", "replace").decode()
        once = [json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]]
        twice = [json.dumps(inner, ensure_ascii=False)[1:-1] for inner in once]
        return [spelling.encode() for spelling in dict.fromkeys([*once, *twice])]

    def finder(self) -> Find:
        """The function that finds any of the spellings."""
        spellings = self.spellings()
        if len(spellings) == 1 and not self.ignore_case:
            return lambda data, position: data.find(spellings[0], position)
        flags = re.IGNORECASE if self.ignore_case else 0
        pattern = re.compile(b"|".join(re.escape(spelling) for spelling in spellings), flags)

        return lambda data, position: _start(pattern.search(data, position))


def _start(match: re.Match[bytes] | None) -> int:
    if match is None:
        return -1
    return match.start()


def matching_offsets(source: Source, text: SearchText, end: int) -> Iterator[int]:
    """Offsets before ``end`` at which the text begins: the first one of each line that has any. None for no text."""
    if not text.text:
        return
    find = text.finder()
    overlap = max(len(spelling) for spelling in text.spellings()) - 1
    line_start = 0  # where the line begins in which the next match counts
    for base, data, limit in _pieces(source, end, overlap):
        position = max(0, line_start - base)
        while position < limit:
            match = find(data, position)
            if match < 0 or match >= limit:
                break
            yield base + match
            newline = data.find(b"\n", match)
            if newline < 0:
                newline = _newline(source, base + len(data), end) - base
            position = newline + 1
            line_start = base + position


def _pieces(source: Source, end: int, overlap: int) -> Iterator[tuple[int, bytes, int]]:
    """The file in pieces: where each begins, its bytes, and where matches are left to the next piece."""
    base = 0
    while base < end:
        source.seek(base)
        data = source.read(min(_CHUNK + overlap, end - base)) or b""
        if len(data) <= overlap or base + len(data) >= end:
            yield base, data, len(data)
            return
        limit = len(data) - overlap
        yield base, data, limit
        base += limit


def _newline(source: Source, start: int, end: int) -> int:
    """The offset of the first newline from ``start`` on; ``end`` when there is none."""
    for base in range(start, end, _CHUNK):
        source.seek(base)
        position = (source.read(_CHUNK) or b"").find(b"\n")
        if position >= 0:
            return base + position
    return end
