"""A few rollouts of a run that are worth reading first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gymctl.results.choices import Outcome, Sort
from gymctl.results.query import Query
from gymctl.results.rollout import RolloutRecord

if TYPE_CHECKING:
    from gymctl.results.index import Index


def select_rollouts(index: Index, most: int) -> list[tuple[str, RolloutRecord]]:
    """At most ``most`` rollouts, each once, with the reason for the choice; the same ones for the same file."""
    share = max(1, most // 8)
    chosen: dict[int, tuple[str, RolloutRecord]] = {}
    queries = (
        ("failed", Query(outcome=Outcome.FAILED, limit=share)),
        ("masked", Query(outcome=Outcome.MASKED, limit=share)),
        ("lowest reward", Query(sort=Sort.REWARD, limit=2 * share)),
        ("highest reward", Query(sort=Sort.REWARD, descending=True, limit=share)),
        ("slowest", Query(sort=Sort.TIME, descending=True, limit=share)),
        ("most tokens", Query(sort=Sort.TOKENS, descending=True, limit=share)),
        ("tool errors", Query(tool_errors=True, limit=share)),
        ("truncated", Query(truncated=True, limit=share)),
    )
    for reason, query in queries:
        for rollout in index.rollouts(query).rollouts:
            chosen.setdefault(rollout.id, (reason, rollout))
    for rollout in _spread(index, most):
        if len(chosen) >= most:
            break
        chosen.setdefault(rollout.id, ("sample", rollout))
    return list(chosen.values())[:most]


def _spread(index: Index, count: int) -> Iterator[RolloutRecord]:
    """Rollouts at equal distances in the file."""
    total = index.rollouts(Query(limit=0)).total
    for number in range(min(count, total)):
        yield from index.rollouts(Query(offset=number * total // count if total > count else number, limit=1)).rollouts
