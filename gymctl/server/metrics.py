"""The baseline statistics of /aggregate_metrics: upstream's names and shape (0.4.0), without its pandas."""

from __future__ import annotations

import math
import statistics
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

TASK_INDEX = "_ng_task_index"
ROLLOUT_INDEX = "_ng_rollout_index"

Number = int | float | Decimal
Numbers = dict[str, Number]

_IDENTITY = frozenset((TASK_INDEX, ROLLOUT_INDEX))


def baseline_metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Statistics of stripped verify responses.

    Args:
        rows: objects with ``_ng_task_index``, ``_ng_rollout_index`` (0 where absent), ``reward``, and optionally
            ``response.usage``; every other numeric or boolean top-level field is counted too, the rest is ignored.
            Of rows with the same indices the first counts. Numbers that no float holds are left out of statistics, and
            so is a statistic that none holds.

    Returns:
        ``{"group_level_metrics": [one per task, by index], "agent_metrics": {...}, "key_metrics": {all mean/*}}``;
        empty ones for no rows.
    """
    tasks: dict[int, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        tasks.setdefault(row.get(TASK_INDEX) or 0, {}).setdefault(row.get(ROLLOUT_INDEX) or 0, row)
    ordered = {task: dict(sorted(repeats.items())) for task, repeats in sorted(tasks.items())}
    columns = Columns()
    for repeats in ordered.values():
        for row in repeats.values():
            columns.add(row)
    agent = columns.describe()
    return {
        "group_level_metrics": [group_metrics(task, repeats) for task, repeats in ordered.items()],
        "agent_metrics": agent,
        "key_metrics": key_metrics(agent),
    }


def key_metrics(agent: Mapping[str, float]) -> dict[str, float]:
    """The means among an agent's statistics."""
    return {name: value for name, value in agent.items() if name.startswith("mean/")}


class Columns:
    """Numbers by field, eight bytes each, of rows that are taken one by one."""

    def __init__(self) -> None:
        self._rows = 0
        self._values: dict[str, array[float]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Take the numbers of one row; those that no float holds are left out."""
        self._rows += 1
        for name, value in _columns(row).items():
            number = _float_of(value)
            if number is not None:
                self._values.setdefault(name, array("d")).append(number)

    def describe(self) -> dict[str, float]:
        """``mean|max|min|median|std/<field>``; a field absent from a row is left out of its statistics."""
        result: dict[str, float] = {}
        for statistic, function in _STATISTICS.items():
            for name, values in self._values.items():
                # The sample deviation needs two values; upstream shows 0 for the only row, and leaves out a lone value.
                if statistic == "std" and self._rows > 1 and len(values) == 1:
                    continue
                number = _finite(function, values)
                if number is not None:
                    result[f"{statistic}/{name}"] = number
        return result


def group_metrics(task: int, repeats: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """The entry of one task: the statistics of its rollouts, which are given by repeat and in their order."""
    return {
        TASK_INDEX: task,
        **_describe(repeats.values()),
        "sample": {"agent_ref": {"name": "agent"}},  # what upstream's servers answer: they never see the row itself
        "num_rollouts": len(repeats),
        "expected_num_rollouts": len(repeats),
        "missing_num_rollouts": 0,
        "reward_profile_completion_pct": 100.0,
        "rollout_infos": [_info(task, repeat, row) for repeat, row in repeats.items()],
    }


def _info(task: int, repeat: int, row: Mapping[str, Any]) -> dict[str, Any]:
    info: dict[str, Any] = {"rollout_id": f"{task}:{repeat}", TASK_INDEX: task, ROLLOUT_INDEX: repeat}
    if "reward" in row:
        info["reward"] = row["reward"]
    others = {name: value for name, value in row.items() if name != "reward"}
    return {**info, **_numbers(_usage(row).items()), **_numbers(others.items())}


def _columns(row: Mapping[str, Any]) -> Numbers:
    return {**_numbers(row.items()), **_numbers(_usage(row).items())}


def _usage(row: Mapping[str, Any]) -> Mapping[str, Any]:
    response = row.get("response")
    if isinstance(response, Mapping):
        usage = response.get("usage")
    else:
        usage = None
    if isinstance(usage, Mapping):
        return usage
    return {}


def _numbers(fields: Iterable[tuple[str, Any]]) -> Numbers:
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in fields
        if isinstance(value, int | float | Decimal) and name not in _IDENTITY
    }


def _describe(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    columns = Columns()
    for row in rows:
        columns.add(row)
    return columns.describe()


def _float_of(value: Number) -> float | None:
    """The value as a finite float; None when no float holds it."""
    try:
        number = float(value)
    except OverflowError:
        return None
    if math.isfinite(number):
        return number
    return None


def _finite(function: Callable[[Sequence[float]], float], values: Sequence[float]) -> float | None:
    try:
        return _float_of(function(values))
    except OverflowError:
        return None


def _mean(values: Sequence[float]) -> float:
    """The mean, also where the sum of the values is beyond a float."""
    try:
        return statistics.fmean(values)
    except OverflowError:
        return statistics.mean(values)


def _median(values: Sequence[float]) -> float:
    """The median; the middle of two values is half of each, since their sum may be beyond a float."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    total = ordered[middle - 1] + ordered[middle]
    if math.isfinite(total):
        return total / 2
    return ordered[middle - 1] / 2 + ordered[middle] / 2


def _deviation(values: Sequence[float]) -> float:
    if len(values) > 1:
        return statistics.stdev(values)
    return 0.0


_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": _mean,
    "max": max,
    "min": min,
    "median": _median,
    "std": _deviation,
}
