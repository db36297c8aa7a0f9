"""What traces cost: processor time of a rollout without them, with 1 % of them and with all, by turns.

``python -m benchmarks.trace_cost`` collects the rows of ``examples/quickstart`` many times over, as
``benchmarks.observe_cost`` does: everything shares one process, and nothing waits. The receiver is a process of its own
that throws away what it gets, and is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gymctl.config import load_config
from gymctl.operations.collect import collect_in_process
from gymctl.operations.quickstart import example_folder
from gymctl.rollouts.spec import RunSpec
from gymctl.rollouts.trace_export import import_messages

_MODES = {"off": [], "1%": ["++telemetry.enabled=true", "++telemetry.sample_ratio=0.01"],
          "all": ["++telemetry.enabled=true", "++telemetry.sample_ratio=1.0"]}  # fmt: skip


def main() -> int:
    """Measure, and print the medians and their ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trace_cost", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each mode, in turn")
    parser.add_argument("--mode", choices=_MODES, help=argparse.SUPPRESS)
    parser.add_argument("--receiver", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mode:
        sys.stdout.write(f"{_collect(options.mode, options.rollouts, options.receiver)}\n")
        return 0
    samples: dict[str, list[float]] = {mode: [] for mode in _MODES}
    with _receiver() as url:
        for _ in range(options.rounds):
            for mode, seconds in samples.items():
                seconds.append(_measured(mode, options.rollouts, url))
    for mode, seconds in samples.items():
        median = statistics.median(seconds)
        ratios = [own / off for off, own in zip(samples["off"], seconds, strict=True)]
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        sys.stdout.write(
            f"traces {mode:<4} {1e6 * median / options.rollouts:8.0f} us of CPU per rollout, "
            f"{statistics.median(ratios):.3f} of `off` (median of pairs; {spread})\n"
        )
    return 0


@contextmanager
def _receiver() -> Iterator[str]:
    """The URL of a receiver that answers 200 to everything."""

    class Handler(BaseHTTPRequestHandler):
        """Reads what is posted."""

        def do_POST(self) -> None:
            """Read the body, and answer."""
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _measured(mode: str, rollouts: int, receiver: str) -> float:
    options = ["--mode", mode, "--rollouts", str(rollouts), "--receiver", receiver]
    command = [sys.executable, "-m", "benchmarks.trace_cost", *options]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def _collect(mode: str, rollouts: int, receiver: str) -> float:
    """Processor time in seconds of a collection."""
    example = example_folder()
    overrides = [*_MODES[mode], f"++telemetry.otlp_endpoint={receiver}"]
    config = load_config([str(example), *overrides], cwd=example, environ={})
    rows = example / "rows.jsonl"
    count = len(rows.read_text(encoding="utf-8").splitlines())
    with tempfile.TemporaryDirectory(prefix="gymctl-bench-traces-") as folder:
        spec = RunSpec(
            input=rows,
            output=Path(folder, "rollouts.jsonl"),
            agents=tuple(config.agent_names),
            num_repeats=max(1, rollouts // count),
            concurrency=64,
        )
        import_messages()  # once a process, whatever it collects
        began = time.process_time()
        report = collect_in_process(config, spec, lambda event: None)
        spent = time.process_time() - began
    if report.failed or report.unfinished:
        raise SystemExit(report.summary())
    return spent


if __name__ == "__main__":
    raise SystemExit(main())
