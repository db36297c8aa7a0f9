"""Rollouts over concurrencies and two delays of the model in one run, against what the machine could do at best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from benchmarks import machine
from benchmarks.cases import SLOW_MODEL_MS, Plan, Sample, Target, drive_once, measured, rollout_target, start_stacks
from benchmarks.native import set_delay
from benchmarks.sides import Side, Stack

CONCURRENCIES = (1, 16, 64, 256, 1024, 4096, 16_384)
MODEL_CALLS = 2  # of a rollout
WARM = 64
_MANY = 1024  # above that, one run of one round: it lasts long enough


def sweep(plan: Plan, upstream_most: int) -> Iterator[Sample]:
    """Measure both sides, upstream up to ``upstream_most`` in flight; first an instant model, then one of 2 s.

    With the slow model a sample of ours says how near it came to the ideal: ``ideal_p99_ms`` and ``over_ideal``.
    """
    target = rollout_target(plan)
    with ExitStack() as stacks:
        running = start_stacks(plan, stacks)
        fast: list[Sample] = []
        for delay in (0, SLOW_MODEL_MS):
            set_delay(plan.backend_port, delay)
            for _, stack in running:
                drive_once(stack, target, WARM, WARM if delay else 4 * WARM)
            for concurrency in plan.concurrency:
                for sample in _point(plan, running, target, concurrency, delay, upstream_most):
                    if delay:
                        yield _with_ideal(sample, fast)
                    else:
                        fast.append(sample)
                        yield sample
        set_delay(plan.backend_port, 0)


def _point(
    plan: Plan,
    running: Sequence[tuple[Side, Stack]],
    target: Target,
    concurrency: int,
    delay: int,
    upstream_most: int,
) -> Iterator[Sample]:
    label = f"rollouts, {concurrency:,} concurrent, {delay / 1000:g} s model"
    for _ in range(1 if delay or concurrency > _MANY else plan.repeats):
        for side, stack in running:
            if side.is_upstream and concurrency > upstream_most:
                continue
            for pid in stack.processes(target.server):
                machine.forget_peak_memory(pid)
            values = measured(stack, target, concurrency, count_of(concurrency, delay))
            yield Sample(label, side.name, {**values, "concurrency": concurrency, "delay_ms": delay})


def count_of(concurrency: int, delay: int) -> int:
    """Rollouts of one run: some rounds of what is in flight, one where that is much."""
    if concurrency > _MANY:
        rounds = 1
    else:
        rounds = 2
    if delay:
        least = 0
    else:
        least = min(1000, 300 + 20 * concurrency)
    return max(rounds * concurrency, least)


def _with_ideal(sample: Sample, fast: Sequence[Sample]) -> Sample:
    own = [other.values for other in fast if other.side == sample.side]
    values = sample.values
    peak = max(value["rate"] for value in own)
    alone = min(value["p50_ms"] for value in own)
    ideal = ideal_p99_ms(values["concurrency"], peak, alone, values["delay_ms"])
    return replace(sample, values={**values, "ideal_p99_ms": ideal, "over_ideal": values["p99_ms"] / ideal})


def ideal_p99_ms(concurrency: float, peak_rate: float, alone_ms: float, delay_ms: float) -> float:
    """The 99th percentile if all start at once and only the machine's own time is lost.

    Args:
        concurrency: rollouts that start together.
        peak_rate: the most rollouts per second this side was measured at in this run, with an instant model.
        alone_ms: what one takes when nothing else runs, with an instant model.
        delay_ms: of each model call.

    Returns:
        The model's time and the time in which the machine does 99 % of them, or one alone if that is longer.
    """
    return MODEL_CALLS * delay_ms + max(alone_ms, 990 * concurrency / peak_rate)
