"""Colours of labels and states: on a terminal, unless ``NO_COLOR`` is set or ``TERM`` is ``dumb``."""

from __future__ import annotations

import os
import sys
from typing import IO

import typer

STATE_COLOURS = {
    "healthy": "green",
    "done": "green",
    "built": "green",
    "running": "green",
    "unhealthy": "red",
    "exited": "red",
    "missing": "red",
    "dead": "red",
    "gone": "red",
    "unreachable": "red",
}
SEVERITY_COLOURS = {"critical": "red", "high": "red", "medium": "yellow", "low": "cyan"}


def label(text: str, colour: str, stream: IO[str] | None = None) -> str:
    """A word such as ``error:`` for ``stream`` (default: standard error), coloured where colours are displayed."""
    stream = stream or sys.stderr
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return typer.style(text, fg=colour)
