"""What ``observe: true`` costs: processor time of a rollout with and without it, by turns in one process each.

``python -m benchmarks.observe_cost`` collects the rows of ``examples/quickstart`` many times over. Agents, servers, the
scripted model and the collector share the process, and nothing waits: the share of counting is the largest that it can
be. Processor time is compared, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gymctl.config import load_config
from gymctl.operations.collect import collect_in_process
from gymctl.operations.quickstart import example_folder
from gymctl.rollouts.spec import RunSpec
from gymctl.server.monitoring import import_prometheus

_MODES = ("off", "on")


def main() -> int:
    """Measure, and print the medians and their ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.observe_cost", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each mode, in turn")
    parser.add_argument("--mode", choices=_MODES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mode:
        sys.stdout.write(f"{_collect(options.mode, options.rollouts)}\n")
        return 0
    samples: dict[str, list[float]] = {mode: [] for mode in _MODES}
    for _ in range(options.rounds):
        for mode, seconds in samples.items():
            seconds.append(_measured(mode, options.rollouts))
    medians = {mode: statistics.median(seconds) for mode, seconds in samples.items()}
    ratios = [on / off for off, on in zip(samples["off"], samples["on"], strict=True)]
    for mode, seconds in medians.items():
        sys.stdout.write(f"observe {mode:<4} {1e6 * seconds / options.rollouts:8.0f} us of CPU per rollout\n")
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    sys.stdout.write(f"ratio of the medians {medians['on'] / medians['off']:.3f}, of pairs {spread}\n")
    return 0


def _measured(mode: str, rollouts: int) -> float:
    command = [sys.executable, "-m", "benchmarks.observe_cost", "--mode", mode, "--rollouts", str(rollouts)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def _collect(mode: str, rollouts: int) -> float:
    """Processor time in seconds of a collection."""
    example = example_folder()
    overrides = ["++observe=true"] if mode == "on" else []
    config = load_config([str(example), *overrides], cwd=example, environ={})
    rows = example / "rows.jsonl"
    count = len(rows.read_text(encoding="utf-8").splitlines())
    with tempfile.TemporaryDirectory(prefix="gymctl-bench-observe-") as folder:
        spec = RunSpec(
            input=rows,
            output=Path(folder, "rollouts.jsonl"),
            agents=tuple(config.agent_names),
            num_repeats=max(1, rollouts // count),
            concurrency=64,
            metrics="127.0.0.1:0" if mode == "on" else "",
        )
        import_prometheus()  # once a process, whatever it collects
        began = time.process_time()
        report = collect_in_process(config, spec, lambda event: None)
        spent = time.process_time() - began
    if report.failed or report.unfinished:
        raise SystemExit(report.summary())
    return spent


if __name__ == "__main__":
    raise SystemExit(main())
