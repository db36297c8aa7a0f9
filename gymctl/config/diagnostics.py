"""What loading finds: problems, which stop it, and notes, which a user reads once and can silence by their code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from gymctl import assets
from gymctl.errors import ErrorCode, Problem

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Location:
    """A place in a file (lines and columns count from 1), or an argument of the command line (line 0)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if self.line:
            return f"{self.file}:{self.line}"
        return self.file


@dataclass
class Origins:
    """Every place that set a value, by key path, in merge order: the last one won.

    ``written`` is parallel to ``places``: the values before interpolation.
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
            if location := self.places.get(path[:cut]):
                return location[-1]
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


def display_path(path: Path, cwd: Path) -> str:
    """``path`` as a user would write it: relative to ``cwd`` when it lies below it; bundled ones from ``services/``."""
    for base in (cwd, assets.folder("services").parent):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)


def dotted(path: KeyPath) -> str:
    """A key path as text: ``policy_model.responses_api_models.openai_model.port``, list items as ``[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif text:
            text += f".{part}"
        else:
            text += str(part)
    return text


class NoteCode(StrEnum):
    """The kinds of notes; ``gymctl: {silence: [CODE, ...]}`` in a file or ``+silence=[CODE]`` hides them."""

    SKIPPED_SERVER = "skipped-server"
    UNREAD_KEY = "unread-key"
    SAME_NAME = "same-name"
    DROPPED = "dropped-siblings"
    INCLUDE_WON = "include-won"
    UNKNOWN_REFERENCE = "unknown-reference"
    MISSPELT_KEY = "misspelt-key"
    RENAMED = "renamed"
    VLLM_PARSER = "vllm-parser"
    VLLM_UNUSED = "vllm-unused"
    RAY_ADDRESS = "ray-address"
    MERGE_ORDER = "merge-order"
    RECIPE = "recipe"


CODES: Mapping[NoteCode, str] = {
    NoteCode.SKIPPED_SERVER: (
        "an entry is left out: no file defines its server, or +error_on_almost_servers=false skips it"
    ),
    NoteCode.UNREAD_KEY: "a key that no server reads",
    NoteCode.SAME_NAME: "one server is defined in two files, which are merged",
    NoteCode.DROPPED: "a list or mapping was replaced as a whole, and entries of the old one are lost",
    NoteCode.INCLUDE_WON: "a file's value is overridden by a file that it includes",
    NoteCode.UNKNOWN_REFERENCE: "a reference inside a field has no target (NeMo Gym does not check these)",
    NoteCode.RENAMED: "a bundled server replaces one of NeMo Gym's that has another name and is not available",
    NoteCode.MISSPELT_KEY: "a top-level key that looks like a misspelled known key (an error unless silenced)",
    NoteCode.VLLM_PARSER: "a vllm block has no parser, or an unusual one, for its model's tool calls or reasoning",
    NoteCode.VLLM_UNUSED: "no model server calls a vllm block, or one of its keys has no effect",
    NoteCode.RAY_ADDRESS: "the address of the Ray cluster was taken from the environment",
    NoteCode.MERGE_ORDER: "files are merged in a non-default order, because of the NeMo Gym release in use",
    NoteCode.RECIPE: "a file is a recipe of NeMo RL, of which only env.nemo_gym is used",
}


@dataclass(frozen=True)
class Note:
    """A note on the configuration: its code, place (``file:line``), message, and suggested change."""

    code: NoteCode
    where: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{Problem(self.where, self.message, self.hint)} [{self.code}]"


@dataclass
class Findings:
    """Collects problems and notes; looks up the place of each."""

    origins: Origins = field(default_factory=Origins)
    silenced: frozenset[str] = frozenset()
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    _entries: set[str | int] = field(default_factory=set)

    def place(self, path: KeyPath) -> str:
        """Where ``path`` was last set, as text; empty if unknown."""
        return str(self.origins.of(path) or "")

    def problem(self, path: KeyPath, message: str, hint: str = "", code: ErrorCode | None = None) -> None:
        """Something at ``path`` is wrong."""
        self._entries.update(path[:1])
        self.problems.append(Problem(self.place(path), message, hint, code))

    def concerns(self, entry: str) -> bool:
        """Whether a problem is in this top-level entry."""
        return entry in self._entries

    def note(self, code: NoteCode, path: KeyPath, message: str, hint: str = "") -> None:
        """Something at ``path`` is worth knowing."""
        self.note_at(code, self.place(path), message, hint)

    def note_at(self, code: NoteCode, where: str, message: str, hint: str = "") -> None:
        """As ``note``, for a place that is known already."""
        if code not in self.silenced:
            self.notes.append(Note(code, where, message, hint))
