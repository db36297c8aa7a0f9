"""What is exported, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gymctl.datasets.exports.selection import Selection
from gymctl.datasets.options import ExportTarget, Kind, ReasoningStyle, ToolArguments


@dataclass(frozen=True)
class ExportOptions:
    """What is exported, and how."""

    rollouts: Path
    target: ExportTarget
    kind: Kind | None
    output: Path
    selection: Selection
    version: str
    """Version of gymctl, for the manifest."""
    reasoning: ReasoningStyle = ReasoningStyle.FIELD
    arguments: ToolArguments = ToolArguments.OBJECT
    """For nemo-rl and trl; openai and verl always have text."""


@dataclass(frozen=True)
class ExportReport:
    """What was exported. ``considered`` is ``used`` and everything in ``dropped``."""

    output: Path
    manifest: Path
    rows: int
    considered: int
    used: int
    dropped: dict[str, int]
    incomplete_tasks: int
    details: tuple[str, ...]
    """Of rollouts that could not be converted: ``task:rollout: reason: what is wrong``."""
