"""Progress of an operation, as small values that a display or a notebook takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gymctl.engines.build.images import BuildEvent
from gymctl.engines.protocol import ServerEvent


@dataclass(frozen=True)
class Notice:
    """A sentence that the user should read once."""

    text: str


@dataclass(frozen=True)
class ServersExpected:
    """The servers that are about to start, in their order."""

    names: tuple[str, ...]


StackEvent = Notice | ServersExpected | BuildEvent | ServerEvent
OnStackEvent = Callable[[StackEvent], None]


def ignore(event: StackEvent) -> None:
    """Take an event and do nothing."""
