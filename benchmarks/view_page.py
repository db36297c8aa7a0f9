"""The page of ``gymctl view`` in chromium: how long lists, rollouts and filters take, and what they cost.

``python -m benchmarks.view_page`` writes 100,000 rollouts of 50 KB (5 GB) into a temporary folder, indexes them, opens
the page, and writes the report. It needs node, chromium and npm's playwright-core (``.ci/browser`` installs them).
With ``--inspect VENV``, a virtual environment with inspect-ai, the same rollouts become a log of inspect, and
``inspect view`` is measured in the same browser.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import inspect_view, machine
from benchmarks.results_index import Sample, drop_cache, measured, remove_index, write_rollouts
from gymctl.results import Index, write_report_page
from gymctl.viewer.runs import Run

_SCRIPT = Path(__file__).with_suffix(".mjs")
_MODULES = Path(os.environ.get("GYMCTL_BROWSER_MODULES") or Path("~/.cache/gymctl-ci/browser").expanduser())


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    label: str
    key: str
    """In the results of a side; a side without it has no such thing."""
    divisor: float
    unit: str
    goal: float | None = None


_ROWS = (
    Row("read the file from the disk", "read_s", 1, "s"),
    Row("first index, from the disk", "index_s", 1, "s", 15),
    Row("  of which CPU time", "index_cpu_s", 1, "s"),
    Row("  peak memory", "index_mb", 1, "MB", 60),
    Row("write the report", "report_s", 1, "s"),
    Row("  its size", "report_bytes", 1e6, "MB", 2),
    Row("list on screen, first visit", "list_ms", 1, "ms", 500),
    Row("  transferred, page included", "list_bytes", 1e3, "kB", 200),
    Row("  JavaScript heap", "list_heap", 1e6, "MB", 20),
    Row("list on screen, after a reload", "list_again_ms", 1, "ms", 500),
    Row("  transferred", "list_again_bytes", 1e3, "kB"),
    Row("open one rollout", "open_ms", 1, "ms", 300),
    Row("  transferred", "open_bytes", 1e3, "kB"),
    Row("  JavaScript heap", "open_heap", 1e6, "MB"),
    Row("filter, median of 4", "filter_ms", 1, "ms", 50),
    Row("filter, slowest", "filter_most_ms", 1, "ms"),
    Row("sort by time", "sort_ms", 1, "ms"),
    Row("jump to the last row", "jump_ms", 1, "ms"),
    Row("search, first hits", "search_first_ms", 1, "ms", 1000),
    Row("search, text that is absent", "search_absent_ms", 1, "ms"),
    Row("overview", "overview_ms", 1, "ms"),
    Row("  JavaScript heap", "overview_heap", 1e6, "MB"),
    Row("peak memory of the server", "server_mb", 1, "MB"),
)


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.view_page", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=50_000, help="bytes of a rollout")
    parser.add_argument("--repeats", type=int, default=3, help="readings and indexings, in turn; medians are printed")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the files here, or use the ones from before")
    parser.add_argument("--inspect", type=Path, metavar="VENV", help="measure inspect view as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gymctl-bench-view-") as name:
        folder = options.keep or Path(name)
        path = folder / "rollouts.jsonl"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _step(f"writing {path}")
            write_rollouts(path, options.rollouts, options.size)
        sides = {"gymctl": _gymctl_side(path, folder, options.repeats)}
        if options.inspect:
            sides["inspect view"] = _inspect_side(options.inspect.absolute(), path, folder)
        sys.stdout.write(f"{path.stat().st_size / 1e9:.2f} GB, {sides['gymctl']['rollouts']:,} rollouts\n")
    print_table(sides)
    return 0


def _gymctl_side(path: Path, folder: Path, repeats: int) -> dict[str, Any]:
    results = _index_from_disk(path, repeats)
    with Index.open(path) as index:
        began = time.perf_counter()
        page = write_report_page(index, folder / "report.html")
        results |= {"report_s": time.perf_counter() - began, "report_bytes": page.size}
    _step("gymctl view in chromium")
    with _serve(path) as (address, server):
        results |= _in_a_browser("gymctl", address, Run.of(path, Path.cwd()).id)
        results["server_mb"] = machine.peak_memory_mb(server)
    return results


def _index_from_disk(path: Path, repeats: int) -> dict[str, Any]:
    """Reading the file and indexing it, in turn, each time in a process of its own and without the page cache."""
    samples: dict[str, list[Sample]] = {"read": [], "index": []}
    for _ in range(repeats):
        for step, times in samples.items():
            _step(f"{step} from the disk")
            remove_index(path)
            drop_cache(path)
            times.append(measured(step, path))
    return {
        "read_s": statistics.median(sample.seconds for sample in samples["read"]),
        "index_s": statistics.median(sample.seconds for sample in samples["index"]),
        "index_cpu_s": statistics.median(sample.cpu for sample in samples["index"]),
        "index_mb": max(sample.megabytes for sample in samples["index"]),
    }


def _inspect_side(environment: Path, path: Path, folder: Path) -> dict[str, Any]:
    logs = folder / "inspect" / "logs"
    if not logs.exists():
        _step("writing a log of inspect")
        inspect_view.write_log(environment, path, logs)
    (log,) = logs.glob("*.eval")
    size = log.stat().st_size / 1e6
    sys.stdout.write(f"inspect-ai {inspect_view.version(environment)}, a log of {size:.0f} MB\n")
    _step("inspect view in chromium")
    with inspect_view.serve(environment, log) as (address, server):
        results = _in_a_browser("inspect", address, log.name)
        results["server_mb"] = machine.peak_memory_mb(server)
    return results


@contextmanager
def _serve(path: Path) -> Iterator[tuple[str, int]]:
    """The address of ``gymctl view`` with its token, and its process id."""
    command = [sys.executable, "-c", "from gymctl.cli.entry import main; main()", "view", "--port", "0", str(path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        yield server.stdout.readline().strip(), server.pid
    finally:
        server.terminate()
        server.wait()


def _in_a_browser(side: str, address: str, name: str) -> dict[str, Any]:
    """The results of one side, with the load of the machine before them."""
    load = machine.load()
    chromium = shutil.which("chromium") or "chromium"
    arguments = ["node", str(_SCRIPT), str(_MODULES), chromium, side, address, name]
    done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
    return {**json.loads(done.stdout), "load": load}


def print_table(sides: dict[str, dict[str, Any]]) -> None:
    """Print the sides next to each other, with the goals."""
    _line("", [*sides, "goal"])
    for row in _ROWS:
        values = [_value(row, results.get(row.key)) for results in sides.values()]
        _line(row.label, [*values, _value(row, row.goal, divisor=1)])
    _line("load of the machine before", [f"{results['load']:.1f}" for results in sides.values()])


def _value(row: Row, value: float | None, divisor: float | None = None) -> str:
    if value is None:
        return "-"
    return f"{value / (divisor or row.divisor):,.1f} {row.unit}"


def _line(label: str, cells: list[str]) -> None:
    sys.stdout.write(f"{label:<32}" + "".join(f"{cell:>16}" for cell in cells).rstrip() + "\n")


def _step(text: str) -> None:
    """Progress, on standard error; the load is of the last minute."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} load {machine.load():.1f}: {text}\n")


if __name__ == "__main__":
    raise SystemExit(main())
