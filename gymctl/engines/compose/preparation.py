"""What an engine determines before a stack is rendered for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_BOUNDED_DRIVERS = ("json-file", "local")  # Docker's log drivers that take max-size and max-file


@dataclass(frozen=True)
class Preparation:
    """What a stack is rendered with on this engine.

    ``nofile`` is its highest limit of open files, ``images`` has the name of each image by its tag in the plan, and
    ``bounded_logs``: whether its log driver has a size limit. ``notes`` are for the user.
    """

    nofile: int
    images: Mapping[str, str]
    bounded_logs: bool
    notes: tuple[str, ...] = ()


def takes_log_limit(info: Mapping[str, Any]) -> bool:
    """Whether the engine's own log driver, of its ``info``, is one that takes a limit."""
    return info.get("LoggingDriver") in _BOUNDED_DRIVERS
