"""Exclusive use of an output and its sibling files, from before anything is read until the run has ended.

The lock is on the identity file, which is written in place and never renamed: a lock on the results would stay with a
file that was set aside, removed or replaced, and a second collector would not meet it.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from gymctl.errors import ErrorCode, RunError
from gymctl.rollouts.files import disk_error
from gymctl.rollouts.spec import RunFiles

# Set in a collector's container to the container's name, which the engine's commands take.
CONTAINER_VARIABLE = "GYMCTL_CONTAINER"
_FORMAT = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


class RunLock:
    """One collector's lock on a family of files."""

    def __init__(self, files: RunFiles) -> None:
        """Take the lock.

        Raises:
            RunError: another collection has it, or the file cannot be opened; nothing was changed.
        """
        self.path = files.identity
        self._descriptor = _open_locked(files)

    def read(self) -> dict[str, Any] | None:
        """The record of an earlier session, or None when there is none that can be read."""
        return read_record(self.path)

    def write(self, record: Mapping[str, Any]) -> None:
        """Replace the record, and note who writes.

        Raises:
            RunError: the disk is full.
        """
        content = orjson.dumps({**record, "collector": describe_collector()}, option=_FORMAT)
        size = os.fstat(self._descriptor).st_size
        # One write, at least as long as what it replaces: a kill leaves the old record or the new one.
        padded = content.ljust(size, b"\n")
        try:
            written = os.pwrite(self._descriptor, padded, 0)
            if written < len(padded):
                os.pwrite(self._descriptor, padded[written:], written)
            os.ftruncate(self._descriptor, len(content))
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, 0)
            hint = "free disk space or choose another output"
            raise disk_error(error, self.path, "no rollout was collected", hint) from error

    def release(self) -> None:
        """Give the files to the next collector; a record that was never written leaves no file."""
        if not os.fstat(self._descriptor).st_size and _is_at(self._descriptor, self.path):
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def read_record(path: Path) -> dict[str, Any] | None:
    """The record in an identity file, or None when there is none that can be read."""
    try:
        record = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    if isinstance(record, dict) and isinstance(record.get("identity"), dict):
        return record
    return None


def describe_collector() -> dict[str, Any]:
    """This collector, for whoever finds the output in use."""
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    container = os.environ.get(CONTAINER_VARIABLE)
    if container:
        return {"container": container, "since": since}
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def lock_file(descriptor: int) -> bool:
    """Lock an open file for this process; False when another one has it.

    True also on a file system without locks, where only one collector may be started at a time.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def in_use(files: RunFiles) -> RunError:
    """The refusal of an output that another collection writes: which one, and how to stop it."""
    collector = (read_record(files.identity) or {}).get("collector")
    who = ""
    hint = "wait for it, or choose another output"
    if isinstance(collector, Mapping) and collector.get("container"):
        container = collector["container"]
        who = f" (container {container}, since {collector.get('since')})"
        hint = f"wait for it, stop it with `docker stop --time 30 {container}`, or choose another output"
    elif isinstance(collector, Mapping) and collector.get("pid"):
        pid = collector["pid"]
        who = f" (process {pid} on {collector.get('host')}, since {collector.get('since')})"
        hint = f"wait for it, stop it with `kill -INT {pid}`, or choose another output"
    return RunError(f"another collection is writing {files.output}{who}", hint, ErrorCode.OUTPUT_IN_USE)


def _open_locked(files: RunFiles) -> int:
    """A descriptor of the identity file with the lock on it; tried again when the file was removed in between."""
    while True:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(files.identity, flags, 0o666)
        except OSError as error:
            hint = "check its permissions, or choose another output"
            raise RunError(f"cannot write {files.identity}: {error.strerror}", hint) from error
        if not lock_file(descriptor):
            os.close(descriptor)
            raise in_use(files)
        if _is_at(descriptor, files.identity):
            return descriptor
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one that the path names."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
