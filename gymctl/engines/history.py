"""The history of a directory's stack: one line for each change, in ``.gymctl``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path

from gymctl.engines.atomic_files import write_atomically
from gymctl.engines.own_folder import FOLDER, HISTORY_FILE, state_folder

_MOST_LINES = 1000


class ChangeOutcome(StrEnum):
    """How a change ended."""

    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class StackChange:
    """One change of a stack."""

    time: str
    """When it began, in ISO 8601, UTC."""
    command: str
    user: str
    host: str
    pid: int
    stack: str
    outcome: str
    """An ``ChangeOutcome``."""
    detail: str
    """What was done to how many servers, or the error."""
    seconds: float
    config_digest: str
    """Identifies the configuration that ran afterwards."""
    version: str
    """Of gymctl."""


def record_change(directory: Path, change: StackChange) -> None:
    """Add a change to the history, which keeps the last 1,000.

    Raises:
        OSError: the file cannot be written.
    """
    path = state_folder(directory) / HISTORY_FILE
    line = json.dumps(asdict(change)) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
    lines = path.read_text("utf-8").splitlines(keepends=True)
    if len(lines) > 2 * _MOST_LINES:
        write_atomically(path, "".join(lines[-_MOST_LINES:]))


def read_history(directory: Path) -> list[StackChange]:
    """The changes of a directory's stack, the first one first; lines that cannot be read are left out."""
    try:
        text = (directory / FOLDER / HISTORY_FILE).read_text("utf-8")
    except FileNotFoundError:
        return []
    return list(_parsed(text))


def _parsed(text: str) -> Iterator[StackChange]:
    names = {field.name for field in fields(StackChange)}
    for line in text.splitlines():
        with suppress(ValueError, TypeError):  # cut off when the disk was full
            values = json.loads(line)
            yield StackChange(**{name: value for name, value in values.items() if name in names})
