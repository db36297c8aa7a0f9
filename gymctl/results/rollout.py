"""One row of the index, as other rooms see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gymctl.results import tool_names
from gymctl.results.row import Rank


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutRecord:
    """What the index has of one row: a result, a masked result, or a failed attempt. See ``row.RowFacts``."""

    id: int
    file: int
    """0: the results file, 1: the file of failures."""
    line: int
    """Number of the line in its file, from 1."""
    offset: int
    length: int
    rank: Rank
    agent: str
    task: int | None
    repeat: int | None
    reward: float | None
    failure_class: str | None
    failure_hop: str
    terminal: bool
    attempt: int | None
    model: str
    truncated: bool
    turns: int
    tool_calls: int
    tool_errors: int
    tools: tuple[str, ...]
    tokens_in: int | None
    tokens_out: int | None
    queue_ms: float | None
    total_ms: float | None
    hops: dict[str, float]
    numbers: dict[str, float]

    @property
    def name(self) -> str:
        """``TASK:REPEAT``, or ``#LINE`` for a row without indices."""
        if self.task is None:
            return f"#{self.line}"
        return f"{self.task}:{self.repeat or 0}"

    @property
    def is_masked(self) -> bool:
        """Whether it has a result whose reward is not a measurement."""
        return self.rank is Rank.MASKED

    def is_passed(self, threshold: float) -> bool:
        """Whether its reward counts and reaches the threshold."""
        return self.failure_class is None and self.reward is not None and self.reward >= threshold


@dataclass(frozen=True)
class Page:
    """The rollouts of one page; ``total`` counts those of all pages."""

    rollouts: tuple[RolloutRecord, ...]
    total: int


COLUMNS = (
    "id, file, line, offset, length, rank, agent, task, repeat, reward, failure_class, failure_hop, terminal, attempt, "
    "model, truncated, turns, tool_calls, tool_errors, tools, tokens_in, tokens_out, queue_ms, total_ms, hops, numbers"
)
_NAMES = COLUMNS.split(", ")


def read_rollout(row: Sequence[Any]) -> RolloutRecord:
    """The rollout of a row that has ``COLUMNS``."""
    values = dict(zip(_NAMES, row, strict=True))
    values["rank"] = Rank(values["rank"])
    values["tools"] = tool_names.decode(values["tools"])
    values["hops"] = _json(values["hops"], {})
    values["numbers"] = _json(values["numbers"], {})
    for name in ("terminal", "truncated"):
        values[name] = bool(values[name])
    return RolloutRecord(**values)


def _json(text: str | None, default: Any) -> Any:
    return default if text is None else msgspec.json.decode(text)
