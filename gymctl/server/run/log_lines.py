"""The log of a server: one line a record, whatever callers made it say."""

from __future__ import annotations

import logging
import sys
from weakref import WeakSet

from gymctl.config.secrets import Masks
from gymctl.config.terminal_text import one_line, plain

_HIDDEN: WeakSet[Masks] = WeakSet()  # of the servers of this process


def hide_in_logs(masks: Masks) -> None:
    """Hide a server's credentials in every record, for as long as the server is there."""
    _HIDDEN.add(masks)


class LineFormatter(logging.Formatter):
    """Time, level and message on one line; the lines of a traceback are indented, so that none passes for a record."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record with the credentials of this process's servers hidden."""
        text = super().format(record)
        for masks in _HIDDEN:
            text = masks.text(text)
        return text

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record without its traceback."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """The traceback."""
        lines = plain(super().formatException(ei)).split("\n")  # type: ignore[arg-type]
        return "\n".join(f"  {line}" for line in lines)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send all records of at least ``level`` to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler])
