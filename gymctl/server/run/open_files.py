"""The open files of a process, and how many of them its connections may take."""

from __future__ import annotations

import resource
from contextlib import suppress

WANTED_FILES = 65_535
_MOST_CALLERS = 16_384
"""Rollouts in flight that a server is made for: each has a connection to it."""


def open_files() -> int:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return WANTED_FILES
    return soft


def raise_file_limit() -> None:
    """Raise the soft limit of open files as far as the hard one allows, up to what many connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        target = WANTED_FILES
    else:
        target = min(WANTED_FILES, hard)
    if soft < target:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


def quick_connections(files: int) -> int:
    """Connections to servers that answer within milliseconds; ``files`` is the limit of open files."""
    return max(64, files // 24)


def slow_connections(files: int) -> int:
    """Connections to model servers, which answer after seconds; calls beyond them wait in line.

    They take what the connections of callers leave of ``files``: at least an eighth, at most one for each caller.
    """
    left = files - _MOST_CALLERS - 2 * quick_connections(files)
    return min(_MOST_CALLERS, max(files // 8, left))
