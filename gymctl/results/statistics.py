"""What a run amounts to: per agent the rewards, pass rates, failures, tokens and times, from the index alone."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gymctl.results.intervals import Estimate, clustered_mean, mean_error, pass_at, share, student
from gymctl.results.query import DEFAULT_PASS_THRESHOLD
from gymctl.results.row import Rank

if TYPE_CHECKING:
    from gymctl.results.index import Index

# The order of a rollout; hops not named here come before the rest, "between", by name.
_HOP_ORDER = ("queue", "seed", "model", "tool", "verify")


@dataclass(frozen=True)
class PassAt:
    """The share of tasks of which at least one of ``k`` rollouts passes, over the tasks with ``k`` rollouts or more."""

    k: int
    tasks: int
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class HopTimes:
    """Times of one hop, or of whole rollouts (``total``), in milliseconds."""

    hop: str
    rollouts: int
    p50_ms: float
    p95_ms: float
    sum_ms: float


@dataclass(frozen=True, kw_only=True)
class FailureCount:
    """Rollouts of one class that have no reward that counts."""

    failure_class: str
    hop: str
    count: int


@dataclass(frozen=True, kw_only=True)
class AgentStatistics:
    """One agent's part of a run. Rewards and pass rates are of ``scored`` rollouts only."""

    agent: str
    rollouts: int
    """Results, masked ones and repeated lines left out."""
    scored: int
    """Results with a numeric reward."""
    tasks: int
    """Tasks with at least one scored rollout."""
    min_repeats: int
    max_repeats: int
    """The fewest and the most scored rollouts of a task."""
    reward: Estimate | None
    """Mean reward; the standard error treats tasks as clusters."""
    passed: int
    pass_at: tuple[PassAt, ...]
    groups: int
    """Tasks with two scored rollouts or more."""
    zero_variance: int
    """Groups whose rewards are equal: no signal for a policy gradient."""
    truncated: int
    tool_calls: int
    tool_errors: int
    """Tool calls whose output reports an error."""
    model_never_called: int
    """Results without an item in the response."""
    tokens_in: int
    tokens_out: int
    failed: int
    """Rollouts without a result."""
    masked: int
    """Rollouts whose reward is not a measurement (``mask_sample``); in no mean."""
    failures: tuple[FailureCount, ...]
    """What ``failed`` and ``masked`` consist of, the most frequent first."""
    failed_attempts: int
    """Every failed attempt, those of rollouts that succeeded later included."""
    repeated_lines: int
    """Results of rollouts that have an earlier result; they do not count."""
    times: tuple[HopTimes, ...]
    """``total``, then the hops in the order of a rollout; empty when the collector measured none."""

    @property
    def zero_variance_share(self) -> float | None:
        """The share of groups with zero variance; None without a group."""
        return self.zero_variance / self.groups if self.groups else None


@dataclass(frozen=True, kw_only=True)
class RunStatistics:
    """A whole results file."""

    path: str
    pass_threshold: float
    unreadable_lines: int
    agents: tuple[AgentStatistics, ...]


def summarise(index: Index, pass_threshold: float = DEFAULT_PASS_THRESHOLD) -> RunStatistics:
    """The statistics of a run, one entry per agent, by name."""
    names = [name for (name,) in index.sql.execute("SELECT DISTINCT agent FROM rows ORDER BY agent")]
    return RunStatistics(
        path=str(index.path),
        pass_threshold=pass_threshold,
        unreadable_lines=index.unreadable_lines,
        agents=tuple(_agent(index, name, pass_threshold) for name in names),
    )


def _agent(index: Index, agent: str, threshold: float) -> AgentStatistics:
    counts = _counts(index, agent, threshold)
    groups = _groups(index, agent, threshold)
    sizes = [size for size, _, _, _ in groups]
    failures = _failures(index, agent)
    return AgentStatistics(
        agent=agent,
        **counts,
        tasks=len(groups),
        min_repeats=min(sizes, default=0),
        max_repeats=max(sizes, default=0),
        reward=_reward([(size, total, squares) for size, total, squares, _ in groups]),
        pass_at=tuple(_pass_rates(Counter((size, passed) for size, _, _, passed in groups))),
        **_variance(index, agent),
        failed=sum(failure.count for failure in failures) - counts["masked"],
        failures=failures,
        times=tuple(_times(index, agent)),
    )


_COUNTS = """
SELECT
    coalesce(sum(counts), 0), count(CASE WHEN counts THEN reward END),
    coalesce(sum(counts AND coalesce(reward >= :threshold, 0)), 0),
    coalesce(sum(counts AND truncated), 0), coalesce(sum(CASE WHEN counts THEN tool_calls END), 0),
    coalesce(sum(CASE WHEN counts THEN tool_errors END), 0), coalesce(sum(counts AND turns = 0), 0),
    coalesce(sum(CASE WHEN counts THEN tokens_in END), 0), coalesce(sum(CASE WHEN counts THEN tokens_out END), 0),
    coalesce(sum(current AND rank = :masked), 0), coalesce(sum(rank = :failure), 0),
    coalesce(sum(rank = :result AND NOT current), 0)
FROM (SELECT *, current AND rank = :result AS counts FROM rows WHERE agent = :agent)
"""
_COUNT_NAMES = (
    "rollouts", "scored", "passed", "truncated", "tool_calls", "tool_errors", "model_never_called", "tokens_in",
    "tokens_out", "masked", "failed_attempts", "repeated_lines",
)  # fmt: skip


def _counts(index: Index, agent: str, threshold: float) -> dict[str, int]:
    ranks = {rank.name.lower(): int(rank) for rank in Rank}
    row = index.sql.execute(_COUNTS, {"agent": agent, "threshold": threshold, **ranks}).fetchone()
    return dict(zip(_COUNT_NAMES, row, strict=True))


# Rows without indices are tasks of their own: their group is their line.
_TASK = "GROUP BY task, CASE WHEN task IS NULL THEN id END"
_SCORED = f"FROM rows WHERE agent = ? AND current AND rank = {int(Rank.RESULT)} AND reward IS NOT NULL"


def _groups(index: Index, agent: str, threshold: float) -> list[tuple[int, float, float, int]]:
    """Per task: rollouts, sum of rewards, sum of their squares, how many passed."""
    statement = f"SELECT count(*), total(reward), total(reward * reward), sum(reward >= ?) {_SCORED} {_TASK}"
    return index.sql.execute(statement, (threshold, agent)).fetchall()


def _variance(index: Index, agent: str) -> dict[str, int]:
    repeated = f"SELECT min(reward) AS low, max(reward) AS high {_SCORED} {_TASK} HAVING count(*) > 1"
    statement = f"SELECT count(*), coalesce(sum(low = high), 0) FROM ({repeated})"  # noqa: S608 - constants
    groups, zero = index.sql.execute(statement, (agent,)).fetchone()
    return {"groups": groups, "zero_variance": zero}


def _reward(groups: list[tuple[int, float, float]]) -> Estimate | None:
    result = clustered_mean(groups)
    if result is None:
        return None
    mean, error = result
    if error is None:
        return Estimate(mean, None, None, None)
    half = student(max(1, len(groups) - 1)) * error
    return Estimate(mean, error, mean - half, mean + half)


def _pass_rates(tasks: Counter[tuple[int, int]]) -> Iterable[PassAt]:
    """pass@k for k = 1, 2, 4, ... and the most repeats; ``tasks`` counts them by (rollouts, passed)."""
    most = max((size for size, _ in tasks), default=0)
    if most:
        yield PassAt(1, tasks.total(), _pass_at_1(tasks))
    for k in sorted({most, *(1 << exponent for exponent in range(1, most.bit_length()))} - {0, 1}):
        large = {key: number for key, number in tasks.items() if key[0] >= k}
        values = [pass_at(k, *key) for key, number in large.items() for _ in range(number)]
        mean, error = mean_error(values)
        observations = sum(size * number for (size, _), number in large.items())
        if len(values) > 1:
            yield PassAt(k, len(values), share(mean, error, len(values), observations))
        else:
            yield PassAt(k, 1, Estimate(mean, None, None, None))


def _pass_at_1(tasks: Counter[tuple[int, int]]) -> Estimate:
    """The mean over tasks of the share that passed; with one task, over its rollouts."""
    shares = [passed / size for (size, passed), number in tasks.items() for _ in range(number)]
    rollouts = sum(size * number for (size, _), number in tasks.items())
    mean, error = mean_error(shares)
    return share(mean, error, len(shares), rollouts)


def _failures(index: Index, agent: str) -> tuple[FailureCount, ...]:
    statement = (
        "SELECT failure_class, failure_hop, count(*) FROM rows "
        "WHERE agent = ? AND current AND failure_class IS NOT NULL GROUP BY failure_class, failure_hop "
        "ORDER BY count(*) DESC, failure_class, failure_hop"
    )
    rows = index.sql.execute(statement, (agent,))
    return tuple(FailureCount(failure_class=name, hop=hop, count=count) for name, hop, count in rows)


def _times(index: Index, agent: str) -> Iterable[HopTimes]:
    """Percentiles by nearest rank, as ``gymctl why-slow`` has them; a rollout without a hop counts as 0 for it."""
    hops: dict[str, array[float]] = {}
    totals = array("d")
    decoder = msgspec.json.Decoder(dict[str, float])
    statement = (
        "SELECT queue_ms, total_ms, hops FROM rows WHERE agent = ? AND current AND rank = ? AND total_ms IS NOT NULL"
    )
    for queue_ms, total_ms, text in index.sql.execute(statement, (agent, int(Rank.RESULT))):
        parts = decoder.decode(text) if text else {}
        between = max(0.0, total_ms - sum(parts.values()))
        everything = {"queue": queue_ms or 0.0, **parts, "between": between}
        for name, value in everything.items():
            hops.setdefault(name, array("d")).append(value)
        totals.append(sum(everything.values()))
    if totals:
        yield _percentiles("total", totals, len(totals))
        for name in sorted(hops, key=_hop_place):
            yield _percentiles(name, hops[name], len(totals))


def _hop_place(name: str) -> tuple[int, str]:
    if name == "between":
        return len(_HOP_ORDER) + 1, name
    if name in _HOP_ORDER:
        return _HOP_ORDER.index(name), name
    return len(_HOP_ORDER), name


def _percentiles(hop: str, values: array[float], rollouts: int) -> HopTimes:
    ordered = sorted(values)
    missing = rollouts - len(ordered)
    return HopTimes(
        hop=hop,
        rollouts=len(ordered),
        p50_ms=_at(ordered, int(0.50 * rollouts) - missing),
        p95_ms=_at(ordered, int(0.95 * rollouts) - missing),
        sum_ms=sum(ordered),
    )


def _at(ordered: list[float], rank: int) -> float:
    """The value of a rank; 0 for the rollouts without the hop, which are before the first."""
    if rank < 0:
        return 0.0
    return ordered[min(rank, len(ordered) - 1)]
