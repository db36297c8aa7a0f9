"""Which of the usable rollouts are exported: by reward, by group, the best of each task, pairs that differ enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gymctl.datasets.exports.rollout_index import DropReason, RolloutEntry, RolloutIndex


@dataclass(frozen=True)
class Selection:
    """What is exported of the rollouts that can be used."""

    min_reward: float | None = None
    max_reward: float | None = None
    min_pass_rate: float | None = None
    """Tasks are left out whose share of passed rollouts is lower."""
    max_pass_rate: float | None = None
    threshold: float = 0.5
    """A rollout passed when its reward is at least this."""
    complete_groups: bool = False
    """Whether tasks are left out of which a rollout failed, was masked or is missing."""
    best: int | None = None
    """How many rollouts of each task are kept, the ones with the highest reward."""
    margin: float = 0.1
    """How much the rewards of a pair differ at least."""
    pairs: int = 1
    """Pairs per task at most."""
    keeps_cut: bool = False
    """Whether answers that were cut short are exported."""


@dataclass(frozen=True)
class Pair:
    """Two rollouts of one task."""

    chosen: RolloutEntry
    rejected: RolloutEntry


def apply_selection(index: RolloutIndex, selection: Selection) -> frozenset[int]:
    """Give a reason to every rollout that is left out; returns the tasks whose groups are complete."""
    complete = index.complete_tasks()
    rates = pass_rates(index, selection.threshold)
    for rollout in index.rollouts:
        if rollout.reason is None:
            rollout.reason = _reason(rollout, selection, complete, rates)
    return complete


def keep_best(index: RolloutIndex, count: int) -> None:
    """Leave out all but the ``count`` rollouts of each task with the highest rewards."""
    for group in index.groups().values():
        ranked = sorted(usable(group), key=lambda item: (-item.reward, item.repeat))
        for rollout in ranked[count:]:
            rollout.reason = DropReason.NOT_BEST


def leave_incomplete_out(index: RolloutIndex, complete: frozenset[int]) -> None:
    """Leave out rollouts of tasks that are not complete."""
    for rollout in usable(index.rollouts):
        if rollout.task not in complete:
            rollout.reason = DropReason.INCOMPLETE_GROUP


def _reason(
    rollout: RolloutEntry, selection: Selection, complete: frozenset[int], rates: dict[int, float]
) -> DropReason | None:
    if rollout.is_cut and not selection.keeps_cut:
        return DropReason.INCOMPLETE_RESPONSE
    if selection.complete_groups and rollout.task not in complete:
        return DropReason.INCOMPLETE_GROUP
    if not _within(rates[rollout.task], selection.min_pass_rate, selection.max_pass_rate):
        return DropReason.SOLVED_TOO_OFTEN_OR_RARELY
    if not _within(rollout.reward, selection.min_reward, selection.max_reward):
        return DropReason.REWARD_OUT_OF_RANGE
    return None


def _within(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def usable(rollouts: Iterable[RolloutEntry]) -> list[RolloutEntry]:
    """The rollouts without a reason to leave them out."""
    return [rollout for rollout in rollouts if rollout.reason is None]


def pass_rates(index: RolloutIndex, threshold: float) -> dict[int, float]:
    """Share of passed rollouts of each task, over those that have a reward."""
    rates = {}
    for task, group in index.groups().items():
        scored = usable(group)
        if scored:
            rates[task] = sum(rollout.reward >= threshold for rollout in scored) / len(scored)
    return rates


def pairs_of(index: RolloutIndex, selection: Selection) -> list[Pair]:
    """Pairs of usable rollouts of the same task, the widest first; the others get a reason."""
    pairs = []
    for group in index.groups().values():
        candidates = usable(group)
        group_pairs = [
            Pair(chosen, rejected)
            for chosen in candidates
            for rejected in candidates
            if chosen.reward - rejected.reward >= selection.margin and chosen.reward > rejected.reward
        ]
        group_pairs.sort(
            key=lambda pair: (pair.rejected.reward - pair.chosen.reward, pair.chosen.repeat, pair.rejected.repeat)
        )
        pairs += group_pairs[: selection.pairs]
    paired = {id(rollout) for pair in pairs for rollout in (pair.chosen, pair.rejected)}
    for rollout in usable(index.rollouts):
        if id(rollout) not in paired:
            rollout.reason = DropReason.NO_PAIR
    return pairs
