"""Choices that the command line offers: in a module of their own, which imports nothing."""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """How a rollout ended."""

    PASSED = "passed"
    """With a reward of the threshold or more."""
    NOT_PASSED = "not-passed"
    """With a smaller reward."""
    FAILED = "failed"
    """Without a result: every attempt failed."""
    MASKED = "masked"
    """With a result whose reward is not a measurement (``mask_sample``)."""


class Sort(Enum):
    """What rollouts are ordered by."""

    FILE = "file"
    TASK = "task"
    AGENT = "agent"
    REWARD = "reward"
    TOKENS = "tokens"
    TIME = "time"
    TOOL_CALLS = "tool-calls"
    TURNS = "turns"


class GroupSort(Enum):
    """What groups are ordered by."""

    TASK = "task"
    MEAN = "mean"
    SPREAD = "spread"
    FAILURES = "failures"


class Join(Enum):
    """What makes two tasks of two runs the same."""

    TASK = "task"
    """The task index: both runs read the same rows in the same order."""
    PROMPT = "prompt"
    """The text of the input: for rows in another order, or a part of them."""
