"""Samples as medians: a table for the terminal, JSON for the record."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases import Sample

LOWER_IS_BETTER = {
    "cpu_ms": "CPU ms each",
    "seconds": "seconds",
    "cpu_s": "CPU s",
    "render_s": "s to render",
    "up_s": "s until all are healthy",
    "status_s": "s for status",
    "down_s": "s to go down",
    "memory_mb": "memory MB",
    "servers_memory_mb": "memory MB of the servers",
}
HIGHER_IS_BETTER = {"rate": "per second"}
SHOWN = {
    **LOWER_IS_BETTER,
    **HIGHER_IS_BETTER,
    "p99_ms": "p99 ms",
    "ideal_p99_ms": "ideal p99 ms",
    "over_ideal": "p99 / ideal",
    "failed": "failed",
    "peak_mb": "peak MB",
}


@dataclass(frozen=True)
class Line:
    """One quantity: each side's median, least and most; ``ratio``: how much better the first is than the second."""

    case: str
    quantity: str
    sides: Mapping[str, tuple[float, float, float]]
    ratio: float | None


def lines(samples: Iterable[Sample], sides: Sequence[str]) -> list[Line]:
    """All quantities of all cases, in the order they were measured."""
    by_case: dict[str, dict[str, list[Sample]]] = {}
    for sample in samples:
        by_case.setdefault(sample.case, {}).setdefault(sample.side, []).append(sample)
    return [
        _line(case, quantity, {side: runs[side] for side in sides if side in runs})
        for case, runs in by_case.items()
        for quantity in SHOWN
        if all(quantity in sample.values for group in runs.values() for sample in group)
        if quantity != "seconds" or not _has_rate(runs)  # one says what the other does
    ]


def _has_rate(runs: Mapping[str, Sequence[Sample]]) -> bool:
    return all("rate" in sample.values for group in runs.values() for sample in group)


def _line(case: str, quantity: str, runs: Mapping[str, Sequence[Sample]]) -> Line:
    summary = {}
    for side, group in runs.items():
        values = [sample.values[quantity] for sample in group]
        summary[side] = (statistics.median(values), min(values), max(values))
    ratio = None
    medians = [median for median, _, _ in summary.values()][:2]
    if len(medians) == 2 and all(medians):
        ours, theirs = medians
        if quantity in HIGHER_IS_BETTER:
            ratio = ours / theirs
        else:
            ratio = theirs / ours
    return Line(case, quantity, summary, ratio)


def table(lines: Sequence[Line], sides: Sequence[str]) -> str:
    """The lines as text, or as a Markdown table: both are this."""
    header = ["case", "quantity", *(f"{side} (least-most)" for side in sides), "better by"]
    body = [
        [
            line.case,
            SHOWN[line.quantity],
            *(cell(line.sides.get(side)) for side in sides),
            f"{line.ratio:.1f}x" if line.ratio and line.quantity != "failed" else "",
        ]
        for line in lines
    ]
    widths = [max(len(row[column]) for row in [header, *body]) for column in range(len(header))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in [header, *body]]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def cell(summary: tuple[float, float, float] | None) -> str:
    """Median, least and most; a dash for what was not measured."""
    if summary is None:
        return "-"
    median, least, most = (_number(value) for value in summary)
    if least == most:
        return median
    return f"{median} ({least}-{most})"


def _number(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def save(path: Path, samples: Sequence[Sample], about: Mapping[str, Any]) -> None:
    """Write everything that was measured, and on what."""
    path.write_text(json.dumps({"about": dict(about), "samples": [asdict(sample) for sample in samples]}, indent=1))


def read(path: Path) -> list[Sample]:
    """The samples of an earlier run."""
    return [Sample(**sample) for sample in json.loads(path.read_text())["samples"]]
