"""Files that are written atomically."""

from __future__ import annotations

import errno
import glob
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gymctl.errors import ErrorCode, RunError

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_NOTHING_WRITTEN = ("nothing was written", "free disk space or choose another output")


def disk_error(error: OSError, path: Path, state: str, hint: str) -> RunError:
    """The error for a failed write; ``state`` describes what is safe, ``hint`` what to do."""
    if error.errno in _FULL:
        return RunError(f"the disk of {path} is full: {state}", hint, ErrorCode.DISK_FULL)
    return RunError(f"cannot write {path}: {error.strerror or error}: {state}", hint)


@contextmanager
def replacing(path: Path, state: str = _NOTHING_WRITTEN[0], hint: str = _NOTHING_WRITTEN[1]) -> Iterator[BinaryIO]:
    """A writer that takes the place of ``path`` when the block ends well, and leaves nothing when it does not.

    The file has no name until it is whole, where the file system can do that: a kill leaves nothing either.

    Args:
        path: the file to replace.
        state: what is safe when the disk is full.
        hint: what to do then.

    Raises:
        RunError: it could not be written; ``path`` is as it was.
    """
    temporary = temporary_beside(path)
    try:
        descriptor, named = _open_unnamed(temporary)
        try:
            with os.fdopen(descriptor, "wb", buffering=1 << 20) as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
                if not named:
                    _give_name(out.fileno(), temporary)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, path, state, hint) from error


def _give_name(descriptor: int, path: Path) -> None:
    """As open(2) says of O_TMPFILE; only with ``src_dir_fd``, which an absolute path makes void, is it linkat(2)."""
    os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)


def temporary_beside(path: Path) -> Path:
    """A name that no other process, container or machine takes."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def remove_stale_temporaries(paths: tuple[Path, ...]) -> None:
    """Remove temporary files that a killed process left; only the one process that writes the files may call this."""
    for path in paths:
        for stale in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            with suppress(OSError):
                stale.unlink()


def _open_unnamed(temporary: Path) -> tuple[int, bool]:
    """A descriptor to write to, and whether the file has its temporary name already."""
    with suppress(OSError, AttributeError):
        if Path("/proc/self/fd").exists():
            return os.open(temporary.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666), False
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(temporary, flags, 0o666), True
