"""The file that shows that a process in a container serves; a health probe, which is not Python, looks at its age."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

READY_FILE = Path("/tmp/gymctl-ready")  # noqa: S108 - the container's own tmpfs
BEAT_S = 5.0
"""How often the event loop of a process touches the file."""


def show_ready() -> None:
    """Create the file, or set its time."""
    with suppress(OSError):
        touch(READY_FILE)


def touch(path: Path) -> None:
    """Create a file, or set its time; a link that somebody else has put there is not followed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)
