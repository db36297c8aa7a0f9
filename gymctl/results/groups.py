"""All repeats of a task side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gymctl.results.choices import GroupSort
from gymctl.results.query import DEFAULT_PASS_THRESHOLD, DIRECTION
from gymctl.results.row import Rank

if TYPE_CHECKING:
    from gymctl.results.index import Index


@dataclass(frozen=True)
class Repeat:
    """One rollout of a group: its reward, or the class of its failure."""

    id: int
    """The id of its row, as in ``rollout.RolloutRecord``."""
    repeat: int | None
    reward: float | None
    failure_class: str | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """The rollouts of one task by one agent."""

    agent: str
    task: int
    repeats: tuple[Repeat, ...]
    """In the order of their indices."""
    passed: int
    mean: float | None
    """Mean reward of the scored rollouts; None when there is none."""
    spread: float | None
    """Sample standard deviation of the rewards; None for fewer than two."""

    @property
    def zero_variance(self) -> bool:
        """Whether there are several rewards, and all are the same."""
        return self.spread == 0.0


@dataclass(frozen=True)
class GroupPage:
    """The groups of one page; ``total`` counts those of all pages."""

    groups: tuple[Group, ...]
    total: int


_ORDER = {
    GroupSort.TASK: "task {0}",
    GroupSort.MEAN: "mean IS NULL, mean {0}",
    GroupSort.SPREAD: "variance IS NULL, variance {0}",
    GroupSort.FAILURES: "failures {0}",
}
# ``value`` is the reward of a scored rollout, else NULL, which aggregates leave out.
_GROUPS = f"""
SELECT agent, task, sum(value >= :threshold) AS passed, avg(value) AS mean,
    CASE WHEN count(value) > 1 THEN CASE WHEN min(value) = max(value) THEN 0.0 ELSE
        max(0.0, (total(value * value) - count(value) * avg(value) * avg(value)) / (count(value) - 1)) END
    END AS variance,
    count(*) - count(value) AS failures,
    json_group_array(json_array(id, repeat, reward, failure_class)) AS repeats
FROM (SELECT *, CASE WHEN rank = {int(Rank.RESULT)} THEN reward END AS value FROM rows)
WHERE current AND task IS NOT NULL AND (:agent IS NULL OR agent = :agent) AND (:task IS NULL OR task = :task)
GROUP BY task, agent
HAVING NOT :mixed OR variance > 0
"""  # noqa: S608 - a constant


def read_groups(
    index: Index,
    *,
    agent: str | None = None,
    task: int | None = None,
    mixed: bool = False,
    pass_threshold: float = DEFAULT_PASS_THRESHOLD,
    sort: GroupSort = GroupSort.TASK,
    descending: bool = False,
    offset: int = 0,
    limit: int = -1,
) -> GroupPage:
    """The groups of a run. ``mixed``: only those whose rewards differ. ``limit`` -1: all."""
    values = {"threshold": pass_threshold, "agent": agent, "task": task, "mixed": mixed}
    total = index.sql.execute(f"SELECT count(*) FROM ({_GROUPS})", values).fetchone()[0]  # noqa: S608 - constants
    order = _ORDER[sort].format(DIRECTION[descending])
    statement = f"{_GROUPS} ORDER BY {order}, task, agent LIMIT :limit OFFSET :offset"
    page = {**values, "limit": limit, "offset": offset}
    return GroupPage(tuple(_read(index.sql.execute(statement, page))), total)


def _read(rows: Iterator[tuple[str, int, int | None, float | None, float | None, int, str]]) -> Iterator[Group]:
    for agent, task, passed, mean, variance, _, repeats in rows:
        members = [Repeat(*values) for values in msgspec.json.decode(repeats)]
        members.sort(key=lambda member: (member.repeat is None, member.repeat or 0, member.id))
        yield Group(
            agent=agent, task=task, repeats=tuple(members), passed=passed or 0, mean=mean, spread=_root(variance)
        )


def _root(variance: float | None) -> float | None:
    if variance is None:
        return None
    return math.sqrt(variance)
