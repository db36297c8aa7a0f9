"""How much a server logs, and in which format: its own fields, else the configuration, else variables."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import StrEnum

from gymctl.config.choices import LogFormat
from gymctl.errors import InputError

LEVEL_VARIABLE = "GYMCTL_LOG_LEVEL"
FORMAT_VARIABLE = "GYMCTL_LOG_FORMAT"


class LogLevel(StrEnum):
    """The least severe lines that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def log_level(environ: Mapping[str, str], own: LogLevel | None = None) -> int:
    """The level for ``logging``; ``own`` is the one in the server's configuration.

    Raises:
        InputError: the variable is not a level.
    """
    text = own or environ.get(LEVEL_VARIABLE, "").lower() or LogLevel.INFO
    level = LogLevel(_checked(text, LEVEL_VARIABLE, LogLevel))
    return logging.getLevelNamesMapping()[level.upper()]


def log_format(environ: Mapping[str, str], own: LogFormat | None = None, common: object = None) -> LogFormat:
    """The format of log lines; ``own`` is the server's, ``common`` the one of the whole configuration.

    Raises:
        InputError: the variable is not a format.
    """
    text = own or common or environ.get(FORMAT_VARIABLE, "").lower() or LogFormat.TEXT
    return LogFormat(_checked(str(text), FORMAT_VARIABLE, LogFormat))


def _checked(text: str, variable: str, choices: type[StrEnum]) -> str:
    """The text, if it is one of the choices.

    Raises:
        InputError: it is not.
    """
    if text not in tuple(choices):
        raise InputError(f"{variable} is {text!r}", f"it must be one of {', '.join(choices)}")
    return text
