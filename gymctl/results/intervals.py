"""The arithmetic of estimates: standard errors over tasks, intervals, pass@k and McNemar's test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_Z = 1.959964  # 97.5 % of the normal distribution
# 97.5 % of Student's distribution with 1 to 30 degrees of freedom.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error and its 95 % interval; None where there is too little to estimate them."""

    value: float
    standard_error: float | None
    low: float | None
    high: float | None


def student(degrees: int) -> float:
    """The factor of a 95 % interval for a number of degrees of freedom (at least 1), to three digits."""
    if degrees <= len(_T):
        return _T[degrees - 1]
    first = (_Z**3 + _Z) / (4 * degrees)
    second = (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / (96 * degrees * degrees)
    return _Z + first + second


def clustered_mean(groups: Sequence[tuple[int, float, float]]) -> tuple[float, float | None] | None:
    """The mean over all rollouts, and its standard error with tasks as clusters.

    Repeats of a task are not independent of each other. With a single task the error is the one of its repeats.

    Args:
        groups: per task the number of rollouts, the sum of their values and the sum of the squares.

    Returns:
        (mean, standard error); the error is None for a single rollout, all of it is None for none.
    """
    count = sum(number for number, _, _ in groups)
    if not count:
        return None
    mean = sum(total for _, total, _ in groups) / count
    if len(groups) > 1:
        spread = sum((total - number * mean) ** 2 for number, total, _ in groups)
        return mean, math.sqrt(spread * len(groups) / (len(groups) - 1)) / count
    if count < 2:
        return mean, None
    squares = max(0.0, groups[0][2] - count * mean * mean)
    return mean, math.sqrt(squares / (count - 1) / count)


def mean_error(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean of at least one value, and its standard error (None for one value)."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def share(value: float, error: float | None, tasks: int, observations: int) -> Estimate:
    """A share (0 to 1) with Wilson's interval for the number of independent observations that its error implies.

    Args:
        value: the share.
        error: its standard error over tasks.
        tasks: number of tasks. It bounds what a share of exactly 0 or 1, whose error is 0, can claim.
        observations: number of rollouts.
    """
    if error is None and tasks < 2 and observations < 2:
        return Estimate(value, None, None, None)
    spread = value * (1 - value)
    effective = float(tasks if tasks > 1 else observations)
    if error and spread > 0:
        effective = max(1.0, min(float(observations), spread / error / error))
    middle = (value + _Z * _Z / (2 * effective)) / (1 + _Z * _Z / effective)
    half = _Z * math.sqrt(spread / effective + (_Z / (2 * effective)) ** 2) / (1 + _Z * _Z / effective)
    return Estimate(value, error, max(0.0, middle - half), min(1.0, middle + half))


def pass_at(k: int, rollouts: int, passed: int) -> float:
    """The unbiased estimate that at least one of ``k`` rollouts passes, ``passed`` of ``rollouts`` (>= k) having."""
    failed = rollouts - passed
    if failed < k:
        return 1.0
    return 1.0 - math.comb(failed, k) / math.comb(rollouts, k)


def paired_difference(differences: Sequence[float]) -> Estimate | None:
    """The mean of paired differences with Student's 95 % interval; None for no pair."""
    if not differences:
        return None
    mean, error = mean_error(differences)
    if error is None:
        return Estimate(mean, None, None, None)
    half = student(len(differences) - 1) * error
    return Estimate(mean, error, mean - half, mean + half)


def mcnemar(up: int, down: int) -> float | None:
    """The two-sided exact p-value that flips up and down are equally likely; None without any flip."""
    flips = up + down
    if not flips:
        return None
    if flips > 1000:  # the binomial sum is exact beyond need, and slow
        z = max(0.0, abs(up - down) - 1) / math.sqrt(flips)
        return math.erfc(z / math.sqrt(2))
    tail = sum(math.comb(flips, number) for number in range(min(up, down) + 1))
    return min(1.0, 2.0 * tail / float(2**flips))
