"""The file that a stack is rendered to, and whether it may be overwritten."""

from __future__ import annotations

from pathlib import Path

from gymctl.errors import ErrorCode, InputError
from gymctl.stack.compose.yaml import MARKER


def check_ours(path: Path) -> None:
    """See that ``path`` is free, or was rendered by gymctl.

    Raises:
        InputError: it is someone else's file.
    """
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            first = file.readline()
            if first.startswith("#!"):  # of a script
                first = file.readline()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "choose a writable file") from error
    if not first.startswith(MARKER):
        raise InputError(
            f"{path} was not written by gymctl and would be overwritten",
            "move it away, or work in another directory",
            ErrorCode.FILE_NOT_OURS,
        )
