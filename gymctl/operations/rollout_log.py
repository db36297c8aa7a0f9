"""The log lines of one rollout, from lines of all servers of a stack.

A line of an engine is ``SERVER | RECORD`` (Swarm: ``SERVER.REPLICA.TASK@NODE | RECORD``). A record is text that ends
with the rollout in brackets, or a JSON object. The indented lines of a traceback follow their record.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from gymctl.errors import InputError

_NAME = re.compile(r"-?\d+:\d+")
_PREFIX = re.compile(r"^(\S+)\s+\|(?: |$)")
_TEXT_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ")
_TEXT_ROLLOUT = re.compile(r"\[(?:run=\S+ )?rollout=(\S+?)(?: session=\S+)?\]$")


@dataclass(frozen=True)
class _Record:
    """When a record was written, in seconds; None where a line has no time; and its rollout."""

    time: float | None
    rollout: str


class RolloutLines:
    """Selects lines of a rollout.

    Args:
        rollout: ``TASK:REPEAT``.
        zone: where the clock of lines of text is; by default UTC, as in containers.

    Raises:
        InputError: the name is not ``TASK:REPEAT``.
    """

    def __init__(self, rollout: str, zone: datetime.tzinfo | None = datetime.UTC) -> None:
        if not _NAME.fullmatch(rollout):
            raise InputError(f"--rollout is {rollout!r}", "expected TASK:REPEAT, e.g. 12:3")
        self._rollout = rollout
        self._zone = zone
        self._lines: list[tuple[float, int, str]] = []
        self._latest: dict[str, _Record] = {}

    def add(self, line: str) -> None:
        """Keep a line if it is one of the rollout's."""
        record = self._record_of(line)
        if record.rollout == self._rollout:
            self._lines.append((record.time or 0.0, len(self._lines), line))

    def pass_on(self, line: str, on_line: Callable[[str], None]) -> None:
        """Call ``on_line`` with a line if it is one of the rollout's."""
        if self._record_of(line).rollout == self._rollout:
            on_line(line)

    def in_order(self) -> list[str]:
        """The lines that were kept, by time; lines of one record stay together."""
        return [line for _, _, line in sorted(self._lines)]

    def _record_of(self, line: str) -> _Record:
        """The record that a line is or continues."""
        prefix = _PREFIX.match(line)
        source = prefix[1] if prefix else ""
        text = line[prefix.end() :] if prefix else line
        if text.startswith("  ") and source in self._latest:
            return self._latest[source]
        record = _json_record(text) or _text_record(text, self._zone)
        self._latest[source] = record
        return record


def _json_record(text: str) -> _Record | None:
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
        time = datetime.datetime.fromisoformat(value["time"]).timestamp()
        return _Record(time, str(value.get("rollout", "")))
    except (ValueError, TypeError, KeyError):
        return None


def _text_record(text: str, zone: datetime.tzinfo | None) -> _Record:
    time = _TEXT_TIME.match(text)
    rollout = _TEXT_ROLLOUT.search(text)
    seconds = None
    if time is not None:
        moment = datetime.datetime.fromisoformat(f"{time[1]}.{time[2]}").replace(tzinfo=zone)
        seconds = moment.timestamp()
    return _Record(seconds, rollout[1] if rollout else "")
