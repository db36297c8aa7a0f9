"""An append-only JSONL file of complete lines only, whatever happens to the process or the disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from gymctl.errors import RunError
from gymctl.rollouts.files import disk_error
from gymctl.rollouts.run_lock import in_use, lock_file
from gymctl.rollouts.spec import RunFiles

_FLUSH_BYTES = 1 << 20
# A write takes microseconds. After one that took milliseconds rest as long, but no longer than this, and write what
# came together meanwhile at once: a slow file system then takes half of the time, not all of it.
_QUICK_S = 0.001
_LONGEST_REST_S = 0.05

Written = Callable[[], None]


class Journal:
    """Lines are buffered and written in batches; a line counts when ``written`` is called, never before.

    ``keep`` comes back when its line is in the file: a rollout whose worker awaits it is in flight until then. The
    owner calls ``sync`` every few seconds. What ``keep`` or ``flush`` wrote survives a kill of the process; after
    ``sync``, a loss of power.
    """

    def __init__(self, path: Path) -> None:
        """Open for appending.

        Raises:
            RunError: another collection has the file open, or it cannot be written.
        """
        self.path = path
        self.lines = 0
        self._pending: list[tuple[bytes, Written | None]] = []
        self._pending_bytes = 0
        self._dirty = False
        self._rests_until = 0.0
        self._broken: RunError | None = None
        self._changed: RunError | None = None
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            hint = "check the directory's permissions and its disk, or choose another output"
            raise disk_error(error, path, "no rollout was collected", hint) from error
        if not lock_file(self._descriptor):
            os.close(self._descriptor)
            raise in_use(RunFiles(path))
        self._end = os.fstat(self._descriptor).st_size

    def append(self, line: bytes, written: Written | None = None) -> None:
        """Take one line (without its newline); ``written`` is called when it is in the file.

        Raises:
            RunError: as ``flush``.
        """
        self._pending.append((line, written))
        self._pending_bytes += len(line) + 1
        if self._pending_bytes >= _FLUSH_BYTES:
            self.flush()

    async def keep(self, line: bytes, written: Written | None = None) -> None:
        """Take one line, and come back when it is in the file: at once, or with the next batch where writes are slow.

        Raises:
            RunError: as ``flush``.
        """
        batch = self._pending
        self.append(line, written)
        while batch is self._pending:  # it has not been written yet
            rest = self._rests_until - time.monotonic()
            if rest > 0:
                await asyncio.sleep(rest)
            else:
                self.flush()
        for error in (self._broken, self._changed):
            if error:
                raise error

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            RunError: the disk is full or broken: whole lines that fitted are kept and counted, the rest is taken back.
                Or another program has shortened the file.
        """
        if not self._pending:
            return
        batch, self._pending, self._pending_bytes = self._pending, [], 0
        data = b"".join([line + b"\n" for line, _ in batch])
        self._refuse_if_shorter()
        began = time.monotonic()
        try:
            self._write(data)
        except OSError as error:
            self._keep_whole(batch)
            self._report(batch)
            hint = "free disk space, then continue with --resume"
            state = f"{self.lines} lines of this run are safely written"
            self._broken = disk_error(error, self.path, state, hint)
            raise self._broken from error
        ended = time.monotonic()
        if ended - began > _QUICK_S:
            self._rests_until = ended + min(ended - began, _LONGEST_REST_S)
        self._end += len(data)
        self._report(batch)

    def _report(self, batch: list[tuple[bytes, Written | None]]) -> None:
        self._dirty = True
        self.lines += len(batch)
        for _, written in batch:
            if written:
                written()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _keep_whole(self, batch: list[tuple[bytes, Written | None]]) -> None:
        """Cut the file, and the batch, after the last line that is whole."""
        room = os.fstat(self._descriptor).st_size - self._end
        whole = 0
        for line, _ in batch:
            if len(line) + 1 > room:
                break
            room -= len(line) + 1
            self._end += len(line) + 1
            whole += 1
        os.ftruncate(self._descriptor, self._end)
        del batch[whole:]

    def sync(self) -> None:
        """Flush the file to the disk itself; slow, safe to call from a thread.

        Raises:
            RunError: the disk is broken.
        """
        if not self._dirty:
            return
        self._dirty = False
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            state = f"the last of {self.lines} lines of this run may not survive a power loss"
            raise disk_error(error, self.path, state, "check the disk, then continue with --resume") from error

    def check(self) -> None:
        """See that the file is still the one at its path, with every line in it; safe to call from a thread.

        Raises:
            RunError: another program removed, renamed, replaced or shortened it. What was removed is written out again.
        """
        if self._changed:
            raise self._changed
        self._refuse_if_shorter()
        own = os.fstat(self._descriptor)
        try:
            at_path = self.path.lstat()
        except FileNotFoundError:
            at_path = None
        if at_path is not None and os.path.samestat(own, at_path):
            return
        if own.st_nlink:
            place = Path(f"/proc/self/fd/{self._descriptor}")
            if place.exists():
                state = f"its lines are in {place.readlink()}"
            else:
                state = "its lines are kept under its new name"
        else:
            state = f"its {self.lines} lines of this run and those before are kept in {self._write_out()}"
        hint = f"rename that file to {self.path}, then continue with --resume"
        problem = f"{self.path} was removed or renamed while this run was writing it"
        self._changed = RunError(f"{problem}: {state}", hint)
        raise self._changed

    def _refuse_if_shorter(self) -> None:
        if self._changed:
            return
        end = self._end  # before the size is asked: the event loop may write meanwhile
        size = os.fstat(self._descriptor).st_size
        if size >= end:
            return
        state = f"{size} of {end} bytes remain"
        hint = "continue with --resume, which collects the lost rollouts again"
        self._changed = RunError(
            f"{self.path} was emptied or truncated by another program during this run: {state}", hint
        )
        raise self._changed

    def _write_out(self) -> Path:
        """Copy a file that has lost its name to the next free name in its folder, which is made again if necessary."""
        number = 1
        while os.path.lexists(copy := self.path.with_name(f"{self.path.stem}.removed{number}{self.path.suffix}")):
            number += 1
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.dup(self._descriptor), "rb") as lines, copy.open("xb") as out:
                lines.seek(0)
                shutil.copyfileobj(lines, out, 1 << 20)
                os.fsync(out.fileno())
        except OSError as error:
            raise disk_error(
                error, copy, f"{self.path} was removed and cannot be recovered", "check the disk, then start again"
            ) from error
        return copy

    def close(self) -> None:
        """Write, sync, check and close.

        Raises:
            RunError: as ``flush`` and ``check``; the file is closed then too.
        """
        try:
            self.flush()
            self.sync()
            self.check()
        finally:
            os.close(self._descriptor)


def refuse_if_in_use(files: RunFiles) -> None:
    """Make sure that no collection is writing the output, also under another name that it has.

    Raises:
        RunError: one is.
    """
    if files.output.is_file():
        with files.output.open("rb") as file:
            if not lock_file(file.fileno()):
                raise in_use(files)


def cut_torn_tail(path: Path) -> int:
    """Cut what follows the last newline: the rest of a line that a killed process left. Returns the bytes cut."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end:
            start = max(0, end - (1 << 16))
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)
        return size - end
