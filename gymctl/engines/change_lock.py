"""One change of a directory's stack at a time: a file in ``.gymctl`` that is locked while a command changes it."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from gymctl.config.wording import duration
from gymctl.engines.own_folder import FOLDER, remove_empty_folder, state_folder
from gymctl.errors import EngineError

LOCK_FILE = "change.lock"


@dataclass(frozen=True)
class LockOwner:
    """The process that changes a stack."""

    command: str
    user: str
    host: str
    pid: int
    since: str
    """Time in ISO 8601, UTC."""

    @classmethod
    def this_process(cls, command: str) -> LockOwner:
        """The owner of a lock that this process takes for ``command``."""
        return cls(
            command=command,
            user=user_name(),
            host=socket.gethostname(),
            pid=os.getpid(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @property
    def age_seconds(self) -> float:
        """Seconds since it took the lock."""
        return max(0.0, time.time() - datetime.fromisoformat(self.since).timestamp())


def user_name() -> str:
    """The name of this process's user, or its number if it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


@contextmanager
def change_lock(directory: Path, command: str) -> Iterator[LockOwner]:
    """Keep other commands from changing the stack of ``directory`` while the block runs, which gets the owner.

    The lock of a process that has ended, however it ended, is free.

    Raises:
        EngineError: another process changes the stack.
    """
    path = state_folder(directory) / LOCK_FILE
    with _locked(path) as file:
        owner = LockOwner.this_process(command)
        file.truncate(0)
        json.dump(asdict(owner), file)
        file.flush()
        try:
            yield owner
        finally:
            path.unlink(missing_ok=True)
            remove_empty_folder(directory / FOLDER)


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    """The open and locked file at ``path``, not one that its last owner has removed meanwhile."""
    while True:
        with path.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _held(file) from None
            if _is_at(path, file):
                yield file
                return


def _is_at(path: Path, file: IO[str]) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    return False


def _held(file: IO[str]) -> EngineError:
    """The error about a lock that another process has."""
    file.seek(0)
    try:
        owner = LockOwner(**json.load(file))
    except (ValueError, TypeError):  # it is just being written
        return EngineError("another process is changing this stack", "wait for it")
    age = duration(owner.age_seconds)
    return EngineError(
        f"{owner.command} of {owner.user} on {owner.host} (process {owner.pid}) has been changing this stack since "
        f"{owner.since} ({age})",
        f"wait for it, or stop it: kill -INT {owner.pid}",
    )
