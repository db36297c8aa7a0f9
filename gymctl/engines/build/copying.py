"""Copy a server's folder into a build context: what belongs into an image, with a note for what is left out."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from gymctl.errors import EngineError, ErrorCode, InputError

OnNote = Callable[[str], None]
FolderIds = tuple[tuple[int, int], ...]
"""Device and inode numbers of nested folders, the outermost first."""

# Rows come with `collect --input`; a big file of them in a server's data/ would only make its image big.
_BIG_ROWS = 4 * 2**20
_LEFT_OUT = ("__pycache__", "*.pyc", "tests", ".*", "node_modules", "*.egg-info", "venv")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNREADABLE = (errno.EACCES, errno.EPERM)
_FOLDER_MODE = 0o755
_FILE_MODE = 0o644
_PROGRAM_MODE = 0o755


def copy_tree(source: Path, target: Path, on_note: OnNote = lambda _: None) -> None:
    """Copy the folder ``source`` to ``target``; links are followed, so that the image has the files they lead to.

    What an image cannot hold is left out and named to ``on_note``: a link that leads nowhere or back into its own
    folders, a socket, a pipe, a device, a name that is not UTF-8, a large file of rows.

    Raises:
        InputError: a file or folder cannot be read.
        EngineError: the disk that holds the build context is full.
    """
    _copy_folder(source, target, (), on_note)


def normalize_modes(folder: Path) -> None:
    """Give everything below ``folder`` the mode it has in an image, whatever the umask or the checkout's modes are.

    A container's user neither owns these files nor is in their group, so they must be readable to all.
    """
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(_FOLDER_MODE)
        else:
            path.chmod(_PROGRAM_MODE if path.stat().st_mode & stat.S_IXUSR else _FILE_MODE)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn an error of the temporary folder, where build contexts are written, into a sentence.

    Raises:
        EngineError: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        folder = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - named in a message only
        reason = "the disk is full" if error.errno in _DISK_FULL else error.strerror or str(error)
        message = f"cannot write the build context in {folder}: {reason}"
        raise EngineError(
            message, "free some space, or set TMPDIR to a directory on another disk", ErrorCode.BUILD_CONTEXT
        ) from error


def _copy_folder(source: Path, target: Path, parents: FolderIds, on_note: OnNote) -> None:
    with _readable(source):
        status = source.stat()
        paths = sorted(source.iterdir())
    target.mkdir(parents=True, exist_ok=True)
    inside = (*parents, (status.st_dev, status.st_ino))
    for path in paths:
        if any(fnmatchcase(path.name, pattern) for pattern in _LEFT_OUT):
            continue
        with _readable(path):
            reason = _exclusion(path, inside)
        if reason:
            on_note(f"left out of the image: {_printable(path)} ({reason})")
        elif path.is_dir():
            _copy_folder(path, target / path.name, inside, on_note)
        else:
            _copy_file(path, target / path.name)


def _copy_file(source: Path, target: Path) -> None:
    """Copy content and mode; distinguishes read errors from write errors."""
    with _readable(source):
        original = source.open("rb")
    with original, target.open("wb") as copy:
        shutil.copyfileobj(original, copy, length=2**20)
    shutil.copymode(source, target)


def _exclusion(path: Path, parents: FolderIds) -> str:
    """Why an image cannot have a path; empty when it can."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    try:
        status = path.stat()
    except OSError as error:
        if error.errno in _UNREADABLE or not path.is_symlink():
            raise
        return f"a link to {_printable(path.readlink())}, which does not exist"
    if stat.S_ISDIR(status.st_mode):
        return "a link to a parent directory" if (status.st_dev, status.st_ino) in parents else ""
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if path.suffix == ".jsonl" and path.parent.name == "data" and status.st_size > _BIG_ROWS:
        return f"{status.st_size / 2**20:.0f} MiB of data"
    return ""


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "make it readable for this user, or move it out of the server's directory"
        raise InputError(f"{_printable(path)} cannot be read: {error.strerror}", hint) from error


def _printable(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
