"""Where a value was written: the file and line of every key, kept beside the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gymctl import assets

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Location:
    """A place in a file (lines and columns count from 1), or an argument of the command line (line 0)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass
class Origins:
    """Every place that set a value, by key path, in merge order: the last one won.

    ``written`` runs beside ``places``: what stood there, before interpolation.
    """

    places: dict[KeyPath, list[Location]] = field(default_factory=dict)
    written: dict[KeyPath, list[Any]] = field(default_factory=dict)

    def add(self, path: KeyPath, location: Location, value: Any = None) -> None:
        """Record that ``location`` set ``path`` to ``value``."""
        self.places.setdefault(path, []).append(location)
        self.written.setdefault(path, []).append(value)

    def of(self, path: KeyPath) -> Location | None:
        """The place that won for ``path``, or for the nearest enclosing key that has one."""
        for cut in range(len(path), 0, -1):
            if found := self.places.get(path[:cut]):
                return found[-1]
        return None

    def history(self, path: KeyPath) -> tuple[Location, ...]:
        """All places that set exactly ``path``, first to last."""
        return tuple(self.places.get(path, ()))

    def below(self, path: KeyPath) -> Iterator[KeyPath]:
        """The recorded paths that start with ``path``."""
        return (known for known in self.places if known[: len(path)] == path)

    def graft(self, source: KeyPath, target: KeyPath) -> None:
        """Let ``target`` have the history of ``source``, before its own: its value was taken from there."""
        for path in list(self.below(source)):
            new = (*target, *path[len(source) :])
            self.places[new] = self.places[path] + self.places.get(new, [])
            self.written[new] = self.written[path] + self.written.get(new, [])


def shown(path: Path, cwd: Path) -> str:
    """``path`` as a user would write it: relative to ``cwd`` when it lies below it; bundled ones from ``services/``."""
    for base in (cwd, assets.folder("services").parent):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)


def dotted(path: KeyPath) -> str:
    """A key path as text: ``policy_model.responses_api_models.openai_model.port``, list items as ``[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text
