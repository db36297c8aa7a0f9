"""How measures of a run are distributed, and how they change over it: for histograms and charts."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING

from gymctl.results import tool_names
from gymctl.results.query import DEFAULT_PASS_THRESHOLD, REWARD, TOKENS, Query
from gymctl.results.row import Rank

if TYPE_CHECKING:
    from gymctl.results.index import Index

_MOST_BINS = 24
_FEW_VALUES = 12  # so many distinct values or fewer have a bin each
_WIDE_RANGE = 50.0  # from this ratio of the largest to the smallest value on, bins grow by a factor
_MOST_NAMES = 100


class Measure(Enum):
    """What is counted in a histogram."""

    REWARD = "reward"
    TOKENS = "tokens"
    """In and out together."""
    TIME = "time"
    """Milliseconds of the whole rollout."""


_EXPRESSIONS = {Measure.REWARD: REWARD, Measure.TOKENS: TOKENS, Measure.TIME: "total_ms"}


@dataclass(frozen=True)
class Bin:
    """Rollouts whose value is from ``low`` to ``high``, both included."""

    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Histogram:
    """Bins in ascending order; none when no rollout has the measure."""

    measure: Measure
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class NameCount:
    """A name that filters select by, and how many rollouts have it."""

    name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names in a run, the most frequent first; at most 100 of each kind."""

    agents: tuple[NameCount, ...]
    failure_classes: tuple[NameCount, ...]
    failure_hops: tuple[NameCount, ...]
    tools: tuple[NameCount, ...]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The counts that name a run in a list. ``mean`` is None without a scored rollout."""

    rollouts: int
    """Results and rollouts without one; each rollout once."""
    passed: int
    failed: int
    """Rollouts without a result."""
    masked: int
    """Rollouts whose reward is not a measurement."""
    mean: float | None


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Consecutive results of the file. None: no result in it has the value."""

    first_line: int
    rollouts: int
    reward: float | None
    passed: float | None
    """Share of rollouts that passed."""
    time_ms: float | None
    """Mean time of a rollout."""
    tokens_out: float | None
    truncated: float
    """Share of rollouts."""
    tool_errors: float
    """Share of rollouts with a failed tool call."""


def read_totals(index: Index, pass_threshold: float = DEFAULT_PASS_THRESHOLD) -> Totals:
    """The totals of a run."""
    statement = (
        f"SELECT count(*), coalesce(sum({REWARD} >= ?), 0), coalesce(sum(rank = ?), 0), "  # noqa: S608
        f"coalesce(sum(rank = ?), 0), avg({REWARD}) FROM rows WHERE current = 1"
    )
    values = (pass_threshold, int(Rank.FAILURE), int(Rank.MASKED))
    rollouts, passed, failed, masked, mean = index.sql.execute(statement, values).fetchone()
    return Totals(rollouts=rollouts, passed=passed, failed=failed, masked=masked, mean=mean)


def read_histogram(index: Index, measure: Measure, query: Query | None = None) -> Histogram:
    """The distribution of a measure over the rollouts that a query selects; its text and page are not applied."""
    where, parameters = replace(query or Query(), text="").where()
    expression = _EXPRESSIONS[measure]
    statement = f"SELECT {expression} FROM rows {where} AND {expression} IS NOT NULL"  # noqa: S608
    values = array("d", (float(value) for (value,) in index.sql.execute(statement, parameters)))
    return Histogram(measure, tuple(_bins(values, whole=measure is Measure.TOKENS)))


def read_names(index: Index) -> Names:
    """The agents, failure classes, failing hops and tools of a run."""
    return Names(
        agents=_names(index, _column("agent")),
        failure_classes=_names(index, _column("failure_class")),
        failure_hops=_names(index, _column("failure_hop", "AND failure_class IS NOT NULL")),
        tools=_tool_counts(index),
    )


def read_stretches(
    index: Index, *, agent: str | None = None, count: int = 100, pass_threshold: float = DEFAULT_PASS_THRESHOLD
) -> tuple[Stretch, ...]:
    """The results in the order of the file, in at most ``count`` stretches of as many lines."""
    last = index.sql.execute("SELECT coalesce(max(line), 0) FROM rows WHERE file = 0").fetchone()[0]
    size = max(1, math.ceil(last / count))
    statement = (
        "SELECT min(line), count(*), avg(reward), avg(reward >= :threshold), avg(total_ms), avg(tokens_out), "
        "avg(truncated), avg(tool_errors > 0) FROM rows "
        "WHERE file = 0 AND current = 1 AND rank = :result AND (:agent IS NULL OR agent = :agent) "
        "GROUP BY (line - 1) / :size ORDER BY 1"
    )
    values = {"threshold": pass_threshold, "result": int(Rank.RESULT), "agent": agent, "size": size}
    return tuple(
        Stretch(
            first_line=line,
            rollouts=rollouts,
            reward=reward,
            passed=passed,
            time_ms=time_ms,
            tokens_out=tokens_out,
            truncated=truncated,
            tool_errors=tool_errors,
        )
        for line, rollouts, reward, passed, time_ms, tokens_out, truncated, tool_errors in index.sql.execute(
            statement, values
        )
    )


def _column(name: str, condition: str = "") -> str:
    return f"SELECT {name} AS name, count(*) AS count FROM rows WHERE current = 1 AND {name} <> '' {condition}"  # noqa: S608


def _tool_counts(index: Index) -> tuple[NameCount, ...]:
    counts: Counter[str] = Counter()
    statement = "SELECT tools, count(*) FROM rows WHERE current = 1 AND tools IS NOT NULL GROUP BY tools"
    for tools, count in index.sql.execute(statement):
        for name in tool_names.decode(tools):
            counts[name] += count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(NameCount(name, count) for name, count in ordered[:_MOST_NAMES])


def _names(index: Index, statement: str) -> tuple[NameCount, ...]:
    ordered = f"{statement} GROUP BY name ORDER BY count(*) DESC, name LIMIT {_MOST_NAMES}"
    return tuple(NameCount(str(name), count) for name, count in index.sql.execute(ordered))


def _bins(values: Sequence[float], *, whole: bool) -> Iterator[Bin]:
    if not values:
        return
    distinct = Counter(values)
    if len(distinct) <= _FEW_VALUES:
        for value in sorted(distinct):
            yield Bin(value, value, distinct[value])
        return
    edges = _edges(min(distinct), max(distinct), whole=whole)
    counts = Counter(bisect_right(edges, value) for value in values)
    for number, (low, high) in enumerate(pairwise(edges), start=1):
        last = number == len(edges) - 1
        # the next bin begins at ``high``, which belongs to it alone
        end = high if last else math.nextafter(high, -math.inf)
        yield Bin(low, end, counts[number] + last * counts[number + 1])


def _edges(low: float, high: float, *, whole: bool) -> list[float]:
    """Ascending borders of bins, from the smallest value to the largest."""
    if low > 0 and high / low > _WIDE_RANGE:
        factor = (high / low) ** (1 / _MOST_BINS)
        inner = [low * factor**number for number in range(1, _MOST_BINS)]
    else:
        # each part is divided first: the difference of two large numbers may be infinite
        inner = [low + (high / _MOST_BINS - low / _MOST_BINS) * number for number in range(1, _MOST_BINS)]
    inner = [edge for edge in inner if low < edge < high]
    if whole:
        inner = [float(round(edge)) for edge in inner]
    return sorted({low, high, *(edge for edge in inner if low < edge < high)})
