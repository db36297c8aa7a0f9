"""Events of a run, as small values: emitted by the collector, consumed by a progress display or a job's stdout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gymctl.rollouts.trace_spans import RolloutSpan


class _Event(msgspec.Struct, frozen=True, tag_field="event", tag=str.lower):
    """Base of the events: each encodes as a JSON object with its kind under ``event``."""


class Started(_Event, frozen=True):
    """The input is checked. ``total`` rollouts are wanted, ``already_done`` of them were done before."""

    total: int
    already_done: int = 0
    already_failed: int = 0


class Finished(_Event, frozen=True):
    """``count`` rollouts of an agent are on disk; ``reward``, ``ms`` and ``model_ms`` (at the model) are their sums.

    ``masked`` of them have a reward that is not a measurement (``mask_sample``) and not part of the sum.
    """

    agent: str
    reward: float
    ms: float
    count: int = 1
    model_ms: float = 0.0
    masked: int = 0

    def plus(self, other: Finished) -> Finished:
        """Both together; of one agent."""
        return Finished(
            agent=self.agent,
            reward=self.reward + other.reward,
            ms=self.ms + other.ms,
            count=self.count + other.count,
            model_ms=self.model_ms + other.model_ms,
            masked=self.masked + other.masked,
        )


class Failed(_Event, frozen=True):
    """An attempt failed and is in the sidecar; ``final`` when the rollout will not be tried again."""

    agent: str
    failure_class: str
    message: str = ""
    final: bool = True


class Retrying(_Event, frozen=True):
    """A rollout is tried again on the spot after ``delay_s``."""

    agent: str
    failure_class: str
    delay_s: float


class Paused(_Event, frozen=True):
    """An agent fails throughout; one rollout at a time probes it, the next in ``seconds``."""

    agent: str
    failure_class: str
    seconds: float
    message: str = ""


class Tick(_Event, frozen=True):
    """A heartbeat, about once a second. ``oldest_s`` is how long the oldest rollout in flight has run."""

    in_flight: int
    limit: int
    oldest_s: float = 0.0


class RunNote(_Event, frozen=True):
    """A message for the user."""

    text: str


class Traced(_Event, frozen=True):
    """Spans of rollouts whose traces are kept."""

    spans: list[RolloutSpan]


class Ended(_Event, frozen=True):
    """The run is over; ``report`` is ``Report.to_json()``. Only a job sends it."""

    report: dict[str, Any]


class Crashed(_Event, frozen=True):
    """The run ended with an error the user can act on. Only a job sends it."""

    message: str
    exit_code: int


Event = Started | Finished | Failed | Retrying | Paused | Tick | RunNote | Traced | Ended | Crashed
OnEvent = Callable[[Event], None]

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """One line of JSON, without the newline."""
    return msgspec.json.encode(event)


def decode(line: bytes | str) -> Event | None:
    """The event of a line, or None when the line is something else (a warning that a library printed)."""
    try:
        return _decoder.decode(line)
    except msgspec.MsgspecError:
        return None
