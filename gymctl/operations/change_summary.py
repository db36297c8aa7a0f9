"""What is done to a stack, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gymctl.engines.docker.containers import Container


def summary(actions: Mapping[str, int], images: int = 0) -> str:
    """Counts of what is done to servers, in one line."""
    parts = []
    if images:
        parts.append(f"{images} image{'s' if images > 1 else ''} built")
    order = ("created", "replaced", "started", "scaled", "removed", "unchanged")
    parts += [f"{actions[action]} {action}" for action in order if actions.get(action)]
    return ", ".join(parts) or "nothing to do"


def changes_between(before: Sequence[Container], after: Sequence[Container]) -> list[str]:
    """A summary of what a start has done to the containers that were there; none if there were none."""
    if not before:
        return []
    from gymctl.engines.compose.changes import actions_between

    return [summary(actions_between(before, after))]
