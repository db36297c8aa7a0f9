"""Two runs joined by task: which tasks flipped, whether that is more than chance, and what is not comparable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from gymctl.results.choices import Join
from gymctl.results.distribution import read_totals
from gymctl.results.intervals import Estimate, mcnemar, paired_difference
from gymctl.results.query import DEFAULT_PASS_THRESHOLD
from gymctl.results.record import differences, read_record
from gymctl.results.row import Rank

if TYPE_CHECKING:
    from gymctl.results.index import Index


class Change(Enum):
    """How a task changed. A task is passed when more than half of its rollouts pass, not passed when fewer do."""

    DOWN = "down"
    UP = "up"
    SAME = "same"
    """Passed in both, not passed in both, or exactly half in one of them."""


@dataclass(frozen=True, kw_only=True)
class TaskPair:
    """One task that both runs have scored rollouts of."""

    task_a: int
    task_b: int
    agent_a: str
    agent_b: str
    rollouts_a: int
    rollouts_b: int
    reward_a: float
    """Mean reward in the first run."""
    reward_b: float
    passed_a: float
    """Share of rollouts that passed in the first run."""
    passed_b: float
    same_prompt: bool | None
    """Whether the texts of the inputs are the same; None when a row does not have them."""

    @property
    def change(self) -> Change:
        """The flip, if it is one."""
        if self.passed_a > 0.5 > self.passed_b:
            return Change.DOWN
        if self.passed_a < 0.5 < self.passed_b:
            return Change.UP
        return Change.SAME

    @property
    def difference(self) -> float:
        """Mean reward of the second run minus the first's."""
        return self.reward_b - self.reward_a


@dataclass(frozen=True)
class Missing:
    """A task that one run has no scored rollout of: not comparable, and not equal."""

    task: int
    agent: str
    reason: str
    """``absent``, or why its rollouts have no reward that counts: the class of the failure."""


@dataclass(frozen=True)
class RunDifference:
    """An entry of the two runs' records, or a property of their rows, that is not the same."""

    name: str
    a: str
    b: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Run ``b`` compared with run ``a``. Means, interval and test are over ``pairs`` only."""

    pass_threshold: float
    join: Join
    pairs: tuple[TaskPair, ...]
    """Flips down, flips up, then the rest; within each, the largest difference first."""
    missing_in_a: tuple[Missing, ...]
    missing_in_b: tuple[Missing, ...]
    reward: Estimate | None
    """Mean difference of the tasks' mean rewards, b minus a, with the paired interval."""
    pass_rate: Estimate | None
    """The same of the shares that passed."""
    p_value: float | None
    """McNemar's exact test of the flips; None without any."""
    differences: tuple[RunDifference, ...]
    """What else differs between the runs: data, configuration, repeats, agents, models."""

    def flips(self, change: Change) -> tuple[TaskPair, ...]:
        """The tasks that changed so."""
        return tuple(pair for pair in self.pairs if pair.change is change)


@dataclass(frozen=True, kw_only=True)
class _Task:
    agent: str
    task: int
    rollouts: int
    reward: float
    passed: float
    prompt: bytes | None
    reason: str


Key = tuple[str, int] | int | bytes
_TASKS = f"""
SELECT agent, task, count(value), avg(value), avg(value >= ?), max(prompt), coalesce(max(failure_class), 'no reward')
FROM (SELECT *, CASE WHEN rank = {int(Rank.RESULT)} THEN reward END AS value FROM rows)
WHERE current AND task IS NOT NULL AND (? IS NULL OR agent = ?)
GROUP BY agent, task
"""  # noqa: S608 - a constant


def compare(
    a: Index,
    b: Index,
    *,
    agent: str | None = None,
    pass_threshold: float = DEFAULT_PASS_THRESHOLD,
    join: Join = Join.TASK,
) -> Comparison:
    """Compare two runs, or one agent of them."""
    tasks_a = _read(a, agent, pass_threshold)
    tasks_b = _read(b, agent, pass_threshold)
    key = _joining(join, tasks_a, tasks_b)
    by_key_a = _keyed(tasks_a, key)
    by_key_b = _keyed(tasks_b, key)
    pairs = sorted(_pairs(by_key_a, by_key_b), key=_pair_order)
    return Comparison(
        pass_threshold=pass_threshold,
        join=join,
        pairs=tuple(pairs),
        missing_in_a=tuple(_missing(by_key_b, by_key_a)),
        missing_in_b=tuple(_missing(by_key_a, by_key_b)),
        reward=paired_difference([pair.difference for pair in pairs]),
        pass_rate=paired_difference([pair.passed_b - pair.passed_a for pair in pairs]),
        p_value=mcnemar(
            sum(pair.change is Change.UP for pair in pairs), sum(pair.change is Change.DOWN for pair in pairs)
        ),
        differences=tuple(_run_differences(a, b, pairs)),
    )


def _read(index: Index, agent: str | None, threshold: float) -> list[_Task]:
    return [
        _Task(
            agent=name,
            task=task,
            rollouts=rollouts,
            reward=reward or 0.0,
            passed=passed or 0.0,
            prompt=prompt,
            reason=reason,
        )
        for name, task, rollouts, reward, passed, prompt, reason in index.sql.execute(_TASKS, (threshold, agent, agent))
    ]


def _joining(join: Join, *runs: list[_Task]) -> Callable[[_Task], Key | None]:
    """What tasks are joined by: the agent counts only where several agents share a task."""
    if join is Join.PROMPT:
        return lambda task: task.prompt
    shared = any(len({task.task for task in run}) < len(run) for run in runs)
    if shared:
        return lambda task: (task.agent, task.task)
    return lambda task: task.task


def _keyed(tasks: list[_Task], key: Callable[[_Task], Key | None]) -> dict[Key, _Task]:
    """Tasks by their key; the first of those with the same prompt, none of those without one."""
    by_key: dict[Key, _Task] = {}
    for task in tasks:
        value = key(task)
        if value is not None:
            by_key.setdefault(value, task)
    return by_key


def _pairs(first: Mapping[Key, _Task], second: Mapping[Key, _Task]) -> Iterator[TaskPair]:
    for key, one in first.items():
        other = second.get(key)
        if other is None or not one.rollouts or not other.rollouts:
            continue
        known = one.prompt is not None and other.prompt is not None
        yield TaskPair(
            task_a=one.task,
            task_b=other.task,
            agent_a=one.agent,
            agent_b=other.agent,
            rollouts_a=one.rollouts,
            rollouts_b=other.rollouts,
            reward_a=one.reward,
            reward_b=other.reward,
            passed_a=one.passed,
            passed_b=other.passed,
            same_prompt=one.prompt == other.prompt if known else None,
        )


def _pair_order(pair: TaskPair) -> tuple[int, float, int]:
    return list(Change).index(pair.change), -abs(pair.difference), pair.task_a


def _missing(here: Mapping[Key, _Task], there: Mapping[Key, _Task]) -> Iterator[Missing]:
    """Tasks that are scored here and not there."""
    for key, task in here.items():
        other = there.get(key)
        if task.rollouts and (other is None or not other.rollouts):
            yield Missing(task.task, task.agent, "absent" if other is None else other.reason)


def _run_differences(a: Index, b: Index, pairs: list[TaskPair]) -> Iterator[RunDifference]:
    other_prompts = sum(pair.same_prompt is False for pair in pairs)
    if other_prompts:
        yield RunDifference("input text", f"{other_prompts} of {len(pairs)} common tasks", "have different input")
    masked = [read_totals(index).masked for index in (a, b)]
    if masked[0] != masked[1]:
        yield RunDifference("masked results", str(masked[0]), str(masked[1]))
    for name, column in (("agents", "agent"), ("models", "model")):
        one = _distinct(a, column)
        other = _distinct(b, column)
        if one != other:
            yield RunDifference(name, one, other)
    repeats_a = _repeats(pair.rollouts_a for pair in pairs)
    repeats_b = _repeats(pair.rollouts_b for pair in pairs)
    if repeats_a != repeats_b:
        yield RunDifference("scored rollouts per common task", repeats_a, repeats_b)
    yield from _record_differences(a, b)


def _record_differences(a: Index, b: Index) -> Iterator[RunDifference]:
    record_a = read_record(a.files.record)
    record_b = read_record(b.files.record)
    if record_a is not None and record_b is not None:
        for name, one, other in differences(record_a, record_b):
            yield RunDifference(name, one, other)
    elif record_a is not record_b:
        yield RunDifference("run record", *("present" if record else "missing" for record in (record_a, record_b)))


def _distinct(index: Index, column: str) -> str:
    statement = f"SELECT DISTINCT {column} FROM rows WHERE current AND rank = ? ORDER BY 1 LIMIT 20"  # noqa: S608
    return ", ".join(name or "(unknown)" for (name,) in index.sql.execute(statement, (int(Rank.RESULT),)))


def _repeats(counts: Iterator[int]) -> str:
    values = sorted(set(counts))
    if not values:
        return "0"
    if len(values) == 1:
        return str(values[0])
    return f"{values[0]} to {values[-1]}"
