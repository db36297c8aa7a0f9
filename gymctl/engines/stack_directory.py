"""Where the stack is that a command means: in the working directory, or in the nearest one above it that has a stack.

Only a stack of this user's counts. In a directory that others may write to, such as ``/tmp``, anyone can put the state
of a stack, with arguments that ``gymctl up`` would use.
"""

from __future__ import annotations

import os
from pathlib import Path

from gymctl.engines.own_folder import FOLDER, STATE_FILE

STACK_FILE = "stack.yaml"
"""What ``gymctl up`` starts when it is given no configuration and no stack was started before."""


def stack_directory(directory: Path | None = None) -> Path:
    """A directory that was named, as it is; else the nearest one, from the working directory up, that has a stack.

    Without any it is the working directory.
    """
    if directory is not None:
        return directory
    here = Path.cwd()
    return nearest(here, f"{FOLDER}/{STATE_FILE}") or here


def nearest(start: Path, name: str) -> Path | None:
    """The nearest of a directory and those above it in which a path of this user's is; None without any."""
    return next((folder for folder in (start, *start.parents) if _is_own(folder / name)), None)


def _is_own(path: Path) -> bool:
    try:
        return path.parent.lstat().st_uid == path.lstat().st_uid == os.geteuid()
    except OSError:
        return False
