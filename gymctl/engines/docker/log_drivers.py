"""Servers whose log lines Docker cannot read back, because it sends them elsewhere and keeps no copy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gymctl.config.blocks.log_shipping import keeps_copy, log_destination
from gymctl.config.wording import listing
from gymctl.engines.runner import OnLine
from gymctl.errors import EngineError


@dataclass(frozen=True)
class ServiceLog:
    """The log driver of one service's containers."""

    service: str
    name: str
    """The name that users have for the service."""
    driver: str = ""
    options: dict[str, str] = field(default_factory=dict)

    @property
    def is_readable(self) -> bool:
        """Whether Docker can read its lines back."""
        return keeps_copy(self.driver, self.options)

    @property
    def reason(self) -> str:
        """Why its lines cannot be read back, and where they are."""
        if self.driver == "none":
            return "are not kept: the log driver is none"
        return f"are sent to {log_destination(self.driver, self.options)}, and Docker keeps no copy of them"


def readable_services(logs: Iterable[ServiceLog], on_line: OnLine) -> Sequence[str]:
    """The services whose lines can be read back; for the others one line says where theirs are.

    Raises:
        EngineError: there are services, and the lines of none can be read back.
    """
    readable: list[str] = []
    elsewhere: dict[str, list[str]] = {}
    for log in logs:
        if log.is_readable:
            readable.append(log.service)
        else:
            elsewhere.setdefault(log.reason, []).append(log.name)
    notices = [f"log lines of {listing(names)} {reason}" for reason, names in elsewhere.items()]
    if notices and not readable:
        raise EngineError("; ".join(notices), "read them there, or remove cache-disabled from the driver's options")
    for notice in notices:
        on_line(notice)
    return readable
