"""Which containers of a running stack start and end in an update."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from gymctl.engines.compose.changes import Action, ServiceChange
from gymctl.engines.compose.update_order import PUBLISHES
from gymctl.engines.docker.containers import Container


@dataclass(frozen=True)
class UpdatePlan:
    """Which containers of a stack start and end in an update."""

    start_first: Mapping[str, int]
    """Services that get new containers next to those that are there, and how many there are of both together."""
    held: Mapping[str, int]
    """Services that those need and that will have fewer containers: how many there are until new ones are healthy."""
    trials: tuple[str, ...]
    """Services of ``stop_first`` whose new version is tried without its published port first."""
    stop_first: tuple[str, ...]
    """Services whose old containers stop before new ones start, in this order."""
    retired: tuple[Container, ...]
    """Containers that end when all new ones are healthy."""

    def __bool__(self) -> bool:
        return bool(self.start_first or self.stop_first or self.retired)


def plan_update(
    changes: Sequence[ServiceChange],
    containers: Iterable[Container],
    digests: Mapping[str, str],
    needs: Mapping[str, Sequence[str]],
) -> UpdatePlan:
    """Decide how the containers of a running stack are replaced.

    Args:
        changes: what happens to each service.
        containers: what is there now.
        digests: Compose's digest of each service in the new file.
        needs: services that must be healthy before a service starts, by service.
    """
    by_service: dict[str, list[Container]] = defaultdict(list)
    for container in containers:
        by_service[container.service].append(container)
    start_first: dict[str, int] = {}
    stop_first: dict[str, str] = {}
    retired: list[Container] = []
    for change in changes:
        there = by_service[change.service]
        if not _is_gradual(change, there):
            continue
        if change.stop_first and change.action in (Action.CREATED, Action.REPLACED):
            stop_first[change.service] = change.stop_first
            continue
        current = _current(change, there, digests)
        added = max(0, change.replicas - len(current))
        if added:
            start_first[change.service] = sum(not item.done for item in there) + added
        retired += [item for item in there if item not in current]
    created = {change.service for change in changes if change.action is Action.CREATED}
    return UpdatePlan(
        start_first=start_first,
        held=_held(changes, by_service, start_first, _needed_by(start_first, needs)),
        trials=tuple(name for name, reason in stop_first.items() if reason == PUBLISHES and name not in created),
        stop_first=_in_order(stop_first, created, needs),
        retired=tuple(retired),
    )


def _is_gradual(change: ServiceChange, there: Sequence[Container]) -> bool:
    """Whether the update of a service waits for health or for the end of work; Compose does the rest at once."""
    if change.action is Action.CREATED:
        return change.stop_first in ("", PUBLISHES)
    if change.action is Action.REPLACED:
        return any(item.is_well for item in there)
    if change.action is Action.STARTED:
        return len(there) > change.replicas
    return change.action in (Action.SCALED, Action.REMOVED)


def _held(
    changes: Iterable[ServiceChange],
    containers: Mapping[str, Sequence[Container]],
    start_first: Collection[str],
    needed: Collection[str],
) -> dict[str, int]:
    """How many containers there are of services that are ``needed`` by those that start and will have fewer."""
    return {
        change.service: len(containers[change.service])
        for change in changes
        if change.service in needed
        and change.service not in start_first
        and 0 < change.replicas < len(containers[change.service])
    }


def _needed_by(names: Iterable[str], needs: Mapping[str, Sequence[str]]) -> set[str]:
    """The services that some need, directly or not: Compose starts these too, with as many containers as are set."""
    found: set[str] = set()
    pending = list(names)
    while pending:
        new = set(needs.get(pending.pop(), ())) - found
        found |= new
        pending += new
    return found


def _in_order(names: Iterable[str], created: Collection[str], needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Services after those that they need; new ones last, which may take a port that an old one has published."""
    listed = set(names)
    order = TopologicalSorter({name: listed & set(needs.get(name, ())) for name in names}).static_order()
    return tuple(sorted(order, key=lambda name: name in created))


def _current(change: ServiceChange, there: Sequence[Container], digests: Mapping[str, str]) -> list[Container]:
    """The containers that stay: of the new version, and not more than are configured; what runs longest stays."""
    if change.has_other_secrets:
        return []
    same = [item for item in there if item.config_digest == digests.get(change.service)]
    same.sort(key=lambda item: (item.badness, item.started_at))
    return same[: change.replicas]
