"""The page of ``gymctl view`` in chromium: how long lists, rollouts and filters take, and what they cost.

``python -m benchmarks.view_page`` writes 100,000 rollouts of 50 KB (5 GB) into a temporary folder, indexes them, opens
the page, and writes the report. It needs node, chromium and npm's playwright-core (``.ci/browser`` installs them).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import peak_memory_mb
from benchmarks.results_index import write_rollouts
from gymctl.results import Index, write_report_page
from gymctl.viewer.runs import Run

_SCRIPT = Path(__file__).with_suffix(".mjs")
_MODULES = Path(os.environ.get("GYMCTL_BROWSER_MODULES") or Path("~/.cache/gymctl-ci/browser").expanduser())
# What is printed: label, key, divisor, unit, and the goal where there is one.
_ROWS = (
    ("list on screen, first visit", "list_ms", 1, "ms", 500),
    ("  transferred, page included", "list_bytes", 1e3, "kB", 200),
    ("  JavaScript heap", "list_heap", 1e6, "MB", 20),
    ("open one rollout", "open_ms", 1, "ms", 300),
    ("  transferred", "open_bytes", 1e3, "kB", None),
    ("  JavaScript heap", "open_heap", 1e6, "MB", None),
    ("filter, median of 4", "filter_ms", 1, "ms", 50),
    ("filter, slowest", "filter_most_ms", 1, "ms", None),
    ("sort by time", "end_ms", 1, "ms", None),
    ("jump to the last row", "jump_ms", 1, "ms", None),
    ("search, first hits", "search_first_ms", 1, "ms", 1000),
    ("search, text that is absent", "search_absent_ms", 1, "ms", None),
    ("overview", "overview_ms", 1, "ms", None),
    ("  JavaScript heap", "overview_heap", 1e6, "MB", None),
)


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.view_page", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=50_000, help="bytes of a rollout")
    parser.add_argument("--file", type=Path, help="measure with this results file of write_rollouts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gymctl-bench-view-") as folder:
        path = options.file or Path(folder, "rollouts.jsonl")
        if not path.exists():
            write_rollouts(path, options.rollouts, options.size)
        _measure(path, Path(folder))
    return 0


def _measure(path: Path, folder: Path) -> None:
    began = time.perf_counter()
    with Index.open(path) as index:
        sys.stdout.write(f"{path.stat().st_size / 1e9:.2f} GB, load {os.getloadavg()[0]:.1f}\n")
        _row("index, or open it", 1000 * (time.perf_counter() - began), "ms", None)
        began = time.perf_counter()
        page = write_report_page(index, folder / "report.html")
        _row("write the report", 1000 * (time.perf_counter() - began), "ms", None)
        _row("  its size", page.size / 1e6, "MB", 2)
    results = _in_a_browser(path)
    for label, key, divisor, unit, goal in _ROWS:
        _row(label, results[key] / divisor, unit, goal)
    _row("peak memory of the server", results["server_mb"], "MB", None)


def _in_a_browser(path: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", "from gymctl.cli.entry import main; main()", "view", "--port", "0", str(path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        address = server.stdout.readline().strip()
        chromium = shutil.which("chromium") or "chromium"
        run_id = Run.of(path, Path.cwd()).id
        arguments = ["node", str(_SCRIPT), str(_MODULES), chromium, address, run_id]
        done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
        results: dict[str, Any] = json.loads(done.stdout)
        results["server_mb"] = peak_memory_mb(server.pid)
        return results
    finally:
        server.terminate()
        server.wait()


def _row(label: str, value: float, unit: str, goal: float | None) -> None:
    note = ""
    if goal is not None:
        note = f"   goal {goal:g} {unit}"
    sys.stdout.write(f"{label:<34} {value:10.1f} {unit}{note}\n")


if __name__ == "__main__":
    raise SystemExit(main())
