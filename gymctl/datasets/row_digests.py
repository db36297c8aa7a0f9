"""Rows seen before: repeated rows of one type, and tasks that are in the training and in the validation data.

A digest of eight bytes and a line number are held for each row. Digests are of this process only.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOST_EXAMPLES = 5


@dataclass(frozen=True)
class Repetitions:
    """How many rows repeat another one, with the first of them as (row, earlier row) in ``file:line`` form."""

    count: int
    examples: tuple[tuple[str, str], ...]


@dataclass
class RowDigests:
    """Digests of the rows of several files, in order."""

    _digests: array[int] = field(default_factory=lambda: array("q"))
    _lines: array[int] = field(default_factory=lambda: array("q"))
    _files: list[tuple[int, Path]] = field(default_factory=list)

    def start(self, path: Path) -> None:
        """The rows that follow are of this file."""
        self._files.append((len(self._lines), path))

    def add(self, line: int, digest: int) -> None:
        """Add the row of a line."""
        self._digests.append(digest)
        self._lines.append(line)

    def place(self, index: int) -> str:
        """``file:line`` of a row."""
        path = next(path for first, path in reversed(self._files) if first <= index)
        return f"{path}:{self._lines[index]}"

    def repeated(self) -> Repetitions:
        """Rows that are the same as an earlier one."""
        seen: set[int] = set()
        again = []
        for index, digest in enumerate(self._digests):
            if digest in seen:
                again.append(index)
            seen.add(digest)
        return self._repetitions(again, self)

    def also_in(self, others: RowDigests) -> Repetitions:
        """Rows that are also in ``others``."""
        known = set(others._digests)
        again = [index for index, digest in enumerate(self._digests) if digest in known]
        return self._repetitions(again, others)

    def _repetitions(self, again: list[int], others: RowDigests) -> Repetitions:
        examples = tuple(self._examples(again[:MOST_EXAMPLES], others))
        return Repetitions(count=len(again), examples=examples)

    def _examples(self, indices: list[int], others: RowDigests) -> Iterator[tuple[str, str]]:
        for index in indices:
            yield self.place(index), others.place(others._digests.index(self._digests[index]))
