"""How much a server logs: its own ``log_level``, else the variable ``GYMCTL_LOG_LEVEL``, else ``info``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import StrEnum

from gymctl.errors import InputError

LEVEL_VARIABLE = "GYMCTL_LOG_LEVEL"


class LogLevel(StrEnum):
    """The least severe lines that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def log_level(environ: Mapping[str, str], own: LogLevel | None = None) -> int:
    """The level as ``logging`` has it; ``own`` is what the server's configuration says.

    Raises:
        InputError: the variable is not a level.
    """
    text = own or environ.get(LEVEL_VARIABLE, "").lower() or LogLevel.INFO
    try:
        level = LogLevel(text)
    except ValueError:
        names = ", ".join(LogLevel)
        raise InputError(f"{LEVEL_VARIABLE} is {environ[LEVEL_VARIABLE]!r}", f"it must be one of {names}") from None
    return logging.getLevelNamesMapping()[level.upper()]
