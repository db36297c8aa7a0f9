"""The manifest of an export: the run it came from, digests, and every rollout accounted for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gymctl.datasets.exports.export_report import ExportOptions, ExportReport
from gymctl.datasets.exports.rollout_index import RolloutIndex, sibling
from gymctl.datasets.output_set import OutputSet

_MOST_DETAILS = 50
_MOST_TASKS = 100


def manifest_of(
    options: ExportOptions, index: RolloutIndex, complete: frozenset[int], report: ExportReport, outputs: OutputSet
) -> dict[str, Any]:
    """Where an export came from, what is in it, and what was left out; for each task with a gap, its index."""
    incomplete = sorted(set(index.expected) - complete)
    lost = [rollout for rollout in index.rollouts if rollout.detail]
    return {
        "gymctl": options.version,
        "target": options.target.value,
        "kind": options.kind,
        "reasoning": options.reasoning.value,
        "tool_arguments": options.arguments.value,
        "selection": asdict(options.selection),
        "source": {
            "rollouts": _source(options.rollouts),
            "inputs": _source(index.inputs),
            "run": _run_identity(options.rollouts),
        },
        "files": {str(path): outputs.digest(path) for path in outputs.paths},
        "rows": report.rows,
        "rollouts": {"in": report.considered, "out": report.used, "dropped": report.dropped},
        "tasks": {
            "in": len(index.expected),
            "complete": len(complete),
            "incomplete": incomplete[:_MOST_TASKS],
        },
        "details": [
            *report.details,
            *(f"{rollout.name}: {rollout.reason}: {rollout.detail}" for rollout in lost[:_MOST_DETAILS]),
        ],
    }


def _source(path: Path | None) -> dict[str, str] | None:
    """Path and digest of a file that was read."""
    if path is None:
        return None
    with path.open("rb") as content:
        return {"path": str(path), "sha256": hashlib.file_digest(content, "sha256").hexdigest()}


def _run_identity(rollouts: Path) -> Any:
    """What gymctl collect recorded about the run; None when the file is not there."""
    path = sibling(rollouts, "run").with_suffix(".json")
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
