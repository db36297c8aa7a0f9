"""The translation of each key from Compose to Swarm: the list that ``gymctl render`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from gymctl.config.wording import listing


class KeyOutcome(StrEnum):
    """What happened to a key."""

    TRANSLATED = "translated"  # Swarm has an equivalent
    ADDED = "added"  # Swarm needs it, Compose does not
    LOST = "lost"  # Swarm cannot do it


@dataclass(frozen=True)
class KeyChange:
    """One key of one service (or of the document, when ``service`` is empty): what it became, or why it is lost."""

    service: str
    key: str
    outcome: KeyOutcome
    detail: str

    def plain(self) -> dict[str, str]:
        """As JSON holds it."""
        return {"service": self.service, "key": self.key, "outcome": str(self.outcome), "detail": self.detail}


class TranslationReport:
    """Collects the changes of one service, or of the document."""

    def __init__(self, service: str = "") -> None:
        self.service = service
        self.changes: list[KeyChange] = []

    def translated(self, key: str, detail: str) -> None:
        """``key`` has an equivalent in Swarm."""
        self.changes.append(KeyChange(self.service, key, KeyOutcome.TRANSLATED, detail))

    def added(self, key: str, detail: str) -> None:
        """``key`` was not there and is now."""
        self.changes.append(KeyChange(self.service, key, KeyOutcome.ADDED, detail))

    def lost(self, key: str, detail: str) -> None:
        """``key`` was there and has no effect any more."""
        self.changes.append(KeyChange(self.service, key, KeyOutcome.LOST, detail))


def grouped(changes: Iterable[KeyChange]) -> Iterator[str]:
    """One line for all the services in which the same happened; losses last, where they are read."""
    same: dict[tuple[KeyOutcome, str, str], list[str]] = {}
    for change in changes:
        same.setdefault((change.outcome, change.key, change.detail), []).append(change.service)
    order = list(KeyOutcome)
    for (outcome, key, detail), services in sorted(same.items(), key=lambda item: order.index(item[0][0])):
        named = [name for name in services if name]
        if named:
            where = f" ({listing(named)})"
        else:
            where = ""
        yield f"{outcome}: {key}{where}: {detail}"
