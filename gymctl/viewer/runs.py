"""The results files that the page shows: files that were named, and those in folders that were named."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gymctl.errors import InputError
from gymctl.results import Rank
from gymctl.results.files import ResultsFiles
from gymctl.results.row import read_row

_MOST_RUNS = 500
_DEPTH = 4
_FIRST_LINE_BYTES = 1 << 22
_SKIPPED = ("node_modules", "__pycache__")


@dataclass(frozen=True)
class Run:
    """A results file. ``id`` is made from its path: an address with it is valid after a restart."""

    id: str
    label: str
    """Its path from the folder that was named, or from the working directory."""
    path: Path

    @classmethod
    def of(cls, path: Path, base: Path) -> Run:
        """The run of a file, labelled by its path from ``base``."""
        real = Path(os.path.realpath(path))
        label = os.path.relpath(real, os.path.realpath(base))
        if label.startswith(".."):
            label = str(path)
        return cls(hashlib.sha256(os.fsencode(real)).hexdigest()[:10], label, real)


class Runs:
    """The runs of paths that were named; folders are read again each time, so new runs appear."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._known: dict[str, Run] = {}
        self._results: dict[tuple[Path, int], bool] = {}

    def check(self) -> None:
        """Check that everything that was named exists.

        Raises:
            InputError: a path is missing, or is neither a folder nor a file of rows.
        """
        for path in self._paths:
            if not path.is_dir():
                ResultsFiles.of(path)

    def all(self) -> list[Run]:
        """The runs, each once, the last changed first; at most 500."""
        runs = {run.id: run for path in self._paths for run in self._of(path)}
        ordered = sorted(runs.values(), key=lambda run: (-_changed(run.path), run.label))[:_MOST_RUNS]
        self._known = {run.id: run for run in ordered}
        return ordered

    def get(self, run_id: str) -> Run:
        """A run by its id.

        Raises:
            InputError: there is none.
        """
        if run_id not in self._known:
            self.all()
        run = self._known.get(run_id)
        if run is None:
            raise InputError(f"unknown run {run_id[:40]!r}", "choose one from the list of runs")
        return run

    def _of(self, path: Path) -> Iterator[Run]:
        if not path.is_dir():
            yield Run.of(path, Path.cwd())
            return
        for file in _files(path):
            if self._is_results(file):
                yield Run.of(file, path)

    def _is_results(self, path: Path) -> bool:
        """Whether the first line of a file is a result; remembered as long as the file is the same one."""
        try:
            inode = path.stat().st_ino
        except OSError:
            return False
        key = (path, inode)
        if key not in self._results:
            verdict = _has_result(path)
            if verdict is None:
                return False  # its first line is still being written
            self._results[key] = verdict
        return self._results[key]


def _files(folder: Path) -> Iterator[Path]:
    top = len(folder.parts)
    for place, folders, names in os.walk(folder):
        if len(Path(place).parts) - top >= _DEPTH:
            folders.clear()
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
        for name in sorted(names):
            if name.endswith(".jsonl") and not name.endswith("_failures.jsonl"):
                yield Path(place, name)


def _has_result(path: Path) -> bool | None:
    """Whether the first line is a result; None when it is not complete."""
    try:
        with path.open("rb") as source:
            line = source.readline(_FIRST_LINE_BYTES)
    except OSError:
        return False
    if len(line) == _FIRST_LINE_BYTES:
        return b'"response"' in line and b'"_ng_task_index"' in line
    if not line.endswith(b"\n"):
        return None
    facts = read_row(line)
    return facts is not None and facts.rank is not Rank.FAILURE and (facts.turns > 0 or facts.reward is not None)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
