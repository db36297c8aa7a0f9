"""Outcome of a run: numbers and files, as rows of text or as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gymctl.rollouts.tool_errors import describe_tool_errors


@dataclass
class AgentReport:
    """One agent's part.

    ``reward`` is the sum over what is done and not ``masked`` (a result whose reward is not a measurement); ``passed``
    counts rewards of at least ``pass_threshold``; ``tool_errors`` counts failed calls of tools by ``server/tool``, in
    the rollouts that are done; ``running_mean`` is the mean reward where the sum is beyond a float.
    """

    done: int = 0
    reward: float = 0.0
    passed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    tool_errors: Counter[str] = field(default_factory=Counter)
    running_mean: float = 0.0
    pass_threshold: float = 1.0
    masked: int = 0

    @property
    def measured(self) -> int:
        """How many of what is done have a reward that counts."""
        return self.done - self.masked

    @property
    def mean_reward(self) -> float | None:
        """Mean reward of finished rollouts that are not masked; None if there are none."""
        if not self.measured:
            return None
        if math.isfinite(self.reward):
            return self.reward / self.measured
        return self.running_mean

    def count(self, reward: float, tool_errors: Mapping[str, int] | None = None, *, is_masked: bool = False) -> None:
        """Add one result; the reward of a masked one (``mask_sample``) is not a measurement and does not count."""
        self.done += 1
        self.tool_errors.update(tool_errors or {})
        if is_masked:
            self.masked += 1
            return
        self.reward += reward
        self.running_mean += reward / self.measured - self.running_mean / self.measured
        self.passed += reward >= self.pass_threshold


@dataclass
class Report:
    """A whole run, earlier sessions included.

    ``done`` + ``failed`` + ``unfinished`` is ``total``: a rollout has a result, a final failure, or neither yet.
    ``already_done`` of the results are from earlier sessions. ``wall_s`` is seconds of this session.
    """

    total: int = 0
    already_done: int = 0
    done: int = 0
    failed: int = 0
    unfinished: int = 0
    retries: int = 0
    wall_s: float = 0.0
    interrupted: bool = False
    stalled: str = ""
    agents: dict[str, AgentReport] = field(default_factory=dict)
    failure_examples: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    pass_threshold: float = 1.0

    def agent(self, name: str) -> AgentReport:
        """The part of an agent."""
        return self.agents.setdefault(name, AgentReport(pass_threshold=self.pass_threshold))

    @property
    def rate(self) -> float:
        """Results per second of this session."""
        if self.wall_s > 0:
            return (self.done - self.already_done) / self.wall_s
        return 0.0

    @property
    def exit_code(self) -> int:
        """130 when interrupted, 1 when anything is missing or failed, else 0."""
        if self.interrupted:
            return 130
        if self.stalled or self.failed or self.unfinished:
            return 1
        return 0

    def table_rows(self) -> list[tuple[str, ...]]:
        """One row per agent: name, rollouts, mean reward, passed, failures. ``headings`` has their names."""
        return [
            (
                name,
                str(part.done),
                "-" if part.mean_reward is None else f"{part.mean_reward:.3f}",
                str(part.passed),
                ", ".join(f"{count} {kind}" for kind, count in sorted(part.failed.items())) or "0",
            )
            for name, part in sorted(self.agents.items())
        ]

    def masked_lines(self) -> list[str]:
        """One line per agent with results whose reward is not a measurement."""
        return [
            f"{name}: {part.masked} of {part.done} rollouts are masked (mask_sample); their rewards do not count"
            for name, part in sorted(self.agents.items())
            if part.masked
        ]

    def tool_error_lines(self) -> list[str]:
        """One line per agent whose rollouts had failed calls of tools."""
        return [
            f"{name}: {part.tool_errors.total()} tool calls failed: {describe_tool_errors(part.tool_errors)}"
            for name, part in sorted(self.agents.items())
            if part.tool_errors
        ]

    def summary(self) -> str:
        """One sentence."""
        parts = [f"{self.done} of {self.total} rollouts done"]
        if self.already_done:
            parts.append(f"{self.already_done} of them earlier")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.unfinished:
            parts.append(f"{self.unfinished} left")
        text = ", ".join(parts) + f"; {self.wall_s:.1f} s, {self.rate:.1f} rollouts/s"
        if self.stalled:
            text += f". {self.stalled}"
        return text + (". Continue with --resume" if self.unfinished else "")

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready data; ``from_json`` is the reverse."""
        # Before Python 3.12 asdict makes nonsense of a Counter, so the agents are done by hand.
        parts = {name: _part_to_json(part) for name, part in self.agents.items()}
        return {**asdict(replace(self, agents={})), "agents": parts}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Report:
        """A report from the data of ``to_json``."""
        agents = {name: _agent_report(part) for name, part in values["agents"].items()}
        return cls(**{**values, "agents": agents})


def _part_to_json(part: AgentReport) -> dict[str, Any]:
    """An agent's part; a sum of rewards beyond a float is null, since JSON has no infinity."""
    counters = {"failed": dict(part.failed), "tool_errors": dict(part.tool_errors)}
    if math.isfinite(part.reward):
        reward = part.reward
    else:
        reward = None
    return {**vars(part), **counters, "reward": reward, "mean_reward": part.mean_reward}


def _agent_report(values: dict[str, Any]) -> AgentReport:
    counters = {name: Counter(values.get(name) or {}) for name in ("failed", "tool_errors")}
    if values["reward"] is None:
        reward = math.inf
    else:
        reward = values["reward"]
    own = {name: value for name, value in values.items() if name != "mean_reward"}  # it is computed
    return AgentReport(**{**own, **counters, "reward": reward})


def headings(pass_threshold: float) -> tuple[str, ...]:
    """The headings of ``Report.table_rows``; "passed" is defined where it is printed."""
    return ("agent", "rollouts", "mean reward", f"passed (reward >= {pass_threshold:g})", "failed")
