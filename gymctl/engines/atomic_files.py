"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from gymctl.errors import EngineError


def current_umask() -> int:
    """This process's umask, which can only be read by setting one."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def new_file_mode() -> int:
    """The mode of a new file under this process's umask."""
    return 0o666 & ~current_umask()


def write_atomically(path: Path, content: str | bytes, mode: int = 0o600, *, in_own_folder: bool = False) -> None:
    """Write a file by renaming a finished one into place.

    Args:
        path: the file.
        content: text is written as UTF-8.
        mode: its mode.
        in_own_folder: refuse a folder that is not this user's when the file is opened, whatever it was before.

    Raises:
        EngineError: the disk is full, or the folder may not be written, or is another user's.
    """
    raw = content.encode("utf-8") if isinstance(content, str) else content
    temporary = f".{path.name}.{uuid.uuid4().hex}"
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if in_own_folder and os.fstat(folder).st_uid != os.geteuid():
                raise EngineError(f"{path.parent} belongs to another user", "run gymctl in a directory of your own")
            _write_within(folder, temporary, path.name, raw, mode)
        finally:
            os.close(folder)
    except OSError as error:
        raise EngineError(f"{path} cannot be written: {error.strerror}", "nothing was changed") from error


def _write_within(folder: int, temporary: str, name: str, content: bytes, mode: int) -> None:
    """Write the file ``name`` of a folder, given by its descriptor, through a new unnamed file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        with suppress(OSError):  # of a write that failed, or was interrupted
            os.unlink(temporary, dir_fd=folder)
