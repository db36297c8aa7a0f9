"""The tables and the chart of docs/performance.md, from samples: what is quoted is what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import chart, report
from benchmarks.cases import SLOW_MODEL_MS, TWELVE, TWELVE_AS_IS, Sample
from benchmarks.floor import FLOOR
from benchmarks.report import Line
from benchmarks.sides import UPSTREAM

SIDES = ("gymctl", UPSTREAM)
_CALLS = {
    "cpu_ms": "CPU each, ms",
    "rate": "per second",
    "cpu_s": "CPU, s",
    "seconds": "seconds",
    "memory_mb": "memory, MB",
    "servers_memory_mb": "memory of the servers alone, MB",
}
_FAST = (
    "in flight|CPU each, ms: gymctl|NeMo Gym|better by|per second: gymctl|NeMo Gym|better by"
    "|p99, ms: gymctl|NeMo Gym|failed"
)
_SLOW = "in flight|p99, ms: gymctl|ideal|p99 / ideal|NeMo Gym's p99|agent's peak memory, MB: gymctl|NeMo Gym|failed"


def write(docs: Path, samples: Sequence[Sample]) -> list[str]:
    """Put the tables that the samples give into ``docs/performance.md``, between marks, and draw ``performance.svg``.

    Returns:
        The names of the tables that were written.

    Raises:
        RuntimeError: the page has no place for a table.
    """
    page = docs / "performance.md"
    text = page.read_text()
    tables = dict(_tables(samples))
    for name, table in tables.items():
        text = _put(text, name, table)
    page.write_text(text)
    lines_of_page = [*_of_sweep(samples, 0), *_with_other_releases(samples), *_calls(samples)]
    if cpu := [line for line in report.lines(lines_of_page, SIDES) if line.quantity == "cpu_ms"]:
        (docs / "performance.svg").write_text(chart.chart(cpu, "CPU per operation, ms"))
    return list(tables)


def _put(text: str, name: str, table: str) -> str:
    place = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not place.search(text):
        raise RuntimeError(f"docs/performance.md has no place for the table {name!r}")
    return place.sub(lambda match: f"{match[1]}{table}\n{match[2]}", text)


def _tables(samples: Sequence[Sample]) -> Iterator[tuple[str, str]]:
    if fast := _of_sweep(samples, 0):
        yield "sweep", _fast_table(fast) + _with_load(fast)
    if slow := _of_sweep(samples, SLOW_MODEL_MS):
        yield "slow", _slow_table(slow) + _with_load(slow)
    if twelve := [sample for sample in samples if sample.case in (TWELVE, TWELVE_AS_IS)]:
        yield "twelve", _call_table(twelve) + _with_load(twelve)
    if beside := _with_other_releases(samples):
        yield "releases", _call_table(beside, _sides_of(beside)) + _with_load(beside)
    if floor := _beside_floor(samples):
        yield "floor", _call_table(floor, _sides_of(floor)) + _with_load(floor)
    if calls := _calls(samples):
        yield "calls", _call_table(calls) + _with_load(calls)


def _of_sweep(samples: Iterable[Sample], delay: float) -> list[Sample]:
    return [sample for sample in samples if sample.values.get("delay_ms") == delay]


def _calls(samples: Sequence[Sample]) -> list[Sample]:
    beside = [*_with_other_releases(samples), *_beside_floor(samples)]
    apart = {TWELVE, TWELVE_AS_IS, *(sample.case for sample in beside)}
    return [sample for sample in samples if "delay_ms" not in sample.values and sample.case not in apart]


def _with_other_releases(samples: Sequence[Sample]) -> list[Sample]:
    """Samples of the cases that were measured with more than one release of NeMo Gym, and without the floor."""
    cases = {sample.case for sample in samples if sample.side.startswith(f"{UPSTREAM} ")}
    cases -= {sample.case for sample in _beside_floor(samples)}
    return [sample for sample in samples if sample.case in cases]


def _beside_floor(samples: Sequence[Sample]) -> list[Sample]:
    """Samples of the cases that were also measured with servers without any features."""
    cases = {sample.case for sample in samples if sample.side == FLOOR}
    return [sample for sample in samples if sample.case in cases]


def _sides_of(samples: Iterable[Sample]) -> list[str]:
    return [*dict.fromkeys(sample.side for sample in samples)]


def _fast_table(samples: Sequence[Sample]) -> str:
    rows = []
    for concurrency, quantities in _by_concurrency(samples):
        cells = [concurrency]
        for name in ("cpu_ms", "rate"):
            cells += [*_sides(quantities[name]), _better(quantities[name])]
        rows.append([*cells, *_sides(quantities["p99_ms"]), _failures(quantities)])
    return _markdown(_FAST.split("|"), rows)


def _slow_table(samples: Sequence[Sample]) -> str:
    rows = []
    for concurrency, quantities in _by_concurrency(samples):
        p99 = _sides(quantities["p99_ms"])
        memory = _sides(quantities["peak_mb"])
        ideal = _sides(quantities["ideal_p99_ms"])[0]
        ratio = _sides(quantities["over_ideal"])[0]
        rows.append([concurrency, p99[0], ideal, ratio, p99[1], *memory, _failures(quantities)])
    return _markdown(_SLOW.split("|"), rows)


def _call_table(samples: Sequence[Sample], sides: Sequence[str] = SIDES) -> str:
    lines = [line for line in report.lines(samples, sides) if line.quantity in _CALLS]
    rows = [[line.case, _CALLS[line.quantity], *_sides(line, sides), _better(line)] for line in lines]
    titles = [side.replace(UPSTREAM, "NeMo Gym").replace(FLOOR, "the floor") for side in sides]
    return _markdown(["case", "", *titles, "better by"], rows)


def _by_concurrency(samples: Sequence[Sample]) -> Iterator[tuple[str, dict[str, Line]]]:
    groups: dict[float, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.values["concurrency"], []).append(sample)
    for concurrency, own in sorted(groups.items()):
        yield f"{concurrency:,.0f}", {line.quantity: line for line in report.lines(own, SIDES)}


def _sides(line: Line, sides: Sequence[str] = SIDES) -> list[str]:
    return [report.cell(line.sides.get(side)) for side in sides]


def _better(line: Line) -> str:
    if line.ratio:
        return f"{line.ratio:.1f}x"
    return "-"


def _failures(quantities: Mapping[str, Line]) -> str:
    return " / ".join(f"{most:.0f}" for _, _, most in quantities["failed"].sides.values())


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _with_load(samples: Sequence[Sample]) -> str:
    loads = [sample.load for sample in samples]
    return f"\n\nThe machine's load before these runs was {min(loads):.1f} to {max(loads):.1f}."
