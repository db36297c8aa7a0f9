"""The collections that run from a directory's stack: files in ``.gymctl`` that are locked while they do."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gymctl.engines.own_folder import FOLDER, state_folder
from gymctl.engines.state import StackState
from gymctl.errors import EngineError, ErrorCode

_PREFIX = "collect-"


@dataclass(frozen=True)
class RunningCollection:
    """One run: the process of its ``gymctl collect``, and where its results go."""

    pid: int
    output: str


@contextmanager
def registered(directory: Path, output: Path) -> Iterator[None]:
    """Note, while the block runs, that results are collected into ``output`` from the stack of ``directory``."""
    path = state_folder(directory) / f"{_PREFIX}{os.getpid()}.json"
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({"pid": os.getpid(), "output": _name(output, directory)}, file)
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _name(output: Path, directory: Path) -> str:
    """The path of an output as it was given, if it means the same in the directory of the stack."""
    if Path.cwd() == directory.resolve():
        return str(output)
    return str(output.resolve())


def running_collections(directory: Path) -> list[RunningCollection]:
    """The collections that run now. What a killed process left is removed."""
    running = []
    for path in sorted((directory / FOLDER).glob(f"{_PREFIX}*.json")):
        with suppress(OSError, ValueError, KeyError), path.open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                record = json.load(file)
                running.append(RunningCollection(int(record["pid"]), str(record["output"])))
            else:
                path.unlink(missing_ok=True)
    return running


def disturbed_collections(
    directory: Path, before: StackState | None, config_digest: str, code: dict[str, str]
) -> list[RunningCollection]:
    """The running collections whose stack would become another one: another configuration, or another server's code."""
    if before is None or (before.config_digest == config_digest and dict(before.code) == code):
        return []
    return running_collections(directory)


def changed_collections(
    directory: Path, before: StackState | None, config_digest: str, code: dict[str, str], *, allowed: bool
) -> list[str]:
    """What to say about the collections whose stack changes.

    Raises:
        EngineError: there are some, and that is not allowed.
    """
    disturbed = disturbed_collections(directory, before, config_digest, code)
    if disturbed and not allowed:
        raise collection_in_the_way(disturbed[0])
    return [changed_under(collection) for collection in disturbed]


def collection_in_the_way(collection: RunningCollection) -> EngineError:
    """The error of a change that would give one collection results of two stacks."""
    return EngineError(
        f"a collection into {collection.output} is using this stack (process {collection.pid}), and its configuration "
        "or code would change",
        f"wait for it, or stop it with `kill -INT {collection.pid}` and continue it later with --resume; "
        "--while-collecting changes the stack anyway",
        ErrorCode.COLLECTION_RUNNING,
    )


def changed_under(collection: RunningCollection) -> str:
    """The note about a collection whose stack changes while it runs."""
    return (
        f"the collection into {collection.output} continues on the changed stack: its results come from two "
        "configurations, and --resume will refuse them without --force"
    )
