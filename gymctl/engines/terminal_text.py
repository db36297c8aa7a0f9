"""What other programs print, made fit to be quoted."""

from __future__ import annotations

import re

# colours and cursor moves; Compose puts ESC[2K before each log line even with --no-color
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r(?=\n)")


def plain(text: str) -> str:
    """The text without terminal control sequences."""
    return _CONTROL.sub("", text)


def last_lines(text: str, count: int) -> list[str]:
    """The last ``count`` lines that say something, without control sequences."""
    return [line.rstrip() for line in plain(text).splitlines() if line.strip()][-count:]
