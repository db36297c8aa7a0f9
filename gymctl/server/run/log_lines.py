"""The log of a server: one line a record, whatever callers made it say."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from collections.abc import Callable
from weakref import WeakSet

from gymctl.config.choices import LogFormat
from gymctl.config.secrets import Masks
from gymctl.config.terminal_text import one_line, plain
from gymctl.server.rollout_context import current_rollout, current_session, current_traceparent

_HIDDEN: WeakSet[Masks] = WeakSet()  # of the servers of this process


def hide_in_logs(masks: Masks) -> None:
    """Hide a server's credentials in every record, for as long as the server is there."""
    _HIDDEN.add(masks)


def _masked(text: str) -> str:
    for masks in _HIDDEN:
        text = masks.text(text)
    return text


def rollout_fields() -> dict[str, str]:
    """The fields of a record that say which rollout it is part of; none outside of one."""
    rollout = current_rollout()
    if rollout is None:
        return {}
    trace = current_traceparent()[3:35]
    fields = {"run": rollout.run, "rollout": rollout.rollout, "session": current_session(), "trace": trace}
    return {name: value for name, value in fields.items() if value}


class LineFormatter(logging.Formatter):
    """Time, level, message and rollout on one line; lines of a traceback are indented, so that none is a record."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record with the credentials of this process's servers hidden."""
        return _masked(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record without its traceback."""
        line = one_line(super().formatMessage(record))
        fields = rollout_fields()
        if fields:
            line += f" [{' '.join(f'{name}={value}' for name, value in fields.items())}]"
        return line

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """The traceback."""
        lines = plain(super().formatException(ei)).split("\n")  # type: ignore[arg-type]
        return "\n".join(f"  {line}" for line in lines)


class JsonFormatter(logging.Formatter):
    """One JSON object a record: ``time``, ``level``, ``server``, ``message``, the rollout, and ``exception``."""

    def __init__(self, server: Callable[[], str]) -> None:
        super().__init__()
        self._server = server

    def format(self, record: logging.LogRecord) -> str:
        """The record with the credentials of this process's servers hidden."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        fields = {
            "time": f"{time:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "server": self._server(),
            "message": _masked(plain(record.getMessage())),
            **rollout_fields(),
        }
        if record.exc_info:
            fields["exception"] = _masked(plain(self.formatException(record.exc_info)))
        return json.dumps(fields)


class ServerFormatter(logging.Formatter):
    """Formats each record as the server that logs it is configured to."""

    def __init__(self, server: Callable[[], str], choose: Callable[[str], LogFormat]) -> None:
        super().__init__()
        self._server = server
        self._choose = choose
        self._formatters = {LogFormat.TEXT: LineFormatter(), LogFormat.JSON: JsonFormatter(server)}

    def format(self, record: logging.LogRecord) -> str:
        """The record in the format of its server."""
        return self._formatters[self._choose(self._server())].format(record)


def log_to_stderr(level: int = logging.INFO, formatter: logging.Formatter | None = None) -> None:
    """Send all records of at least ``level`` to standard error; by default as lines of text."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter or LineFormatter())
    logging.basicConfig(level=level, handlers=[handler])


def format_as(log_format: LogFormat, server: str) -> None:
    """Write the records of this process in a format from now on; they are ``server``'s."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(ServerFormatter(lambda: server, lambda _: log_format))
