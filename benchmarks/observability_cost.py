"""What metrics and traces cost: a collection without them, with metrics, with 1 % of traces and with all, by turns.

``python -m benchmarks.observability_cost`` collects the rows of ``examples/quickstart`` many times over. Agents,
servers, the scripted model and the collector share one process. By default nothing waits, so that the share of the
processor time is the largest that it can be; with ``--model-ms 100``, every reply of the model takes that long, and
rollouts per second say what a collection loses. The receiver of traces is a process of its own that throws away what
it gets, and is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from gymctl.config import load_config
from gymctl.operations.collect import collect_in_process
from gymctl.operations.quickstart import example_folder
from gymctl.rollouts.spec import RunSpec
from gymctl.rollouts.trace_export import import_messages
from gymctl.server.monitoring import import_prometheus

_OFF = "off"
_METRICS = "metrics"
_TRACES = {"1 % of traces": 0.01, "all traces": 1.0}
_MODES = (_OFF, _METRICS, *_TRACES)


class Cost(NamedTuple):
    """What one collection took."""

    cpu_us: float
    """Processor time of a rollout, in microseconds."""
    rate: float
    """Rollouts per second."""


def main() -> int:
    """Measure, and print the medians and their ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.observability_cost", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each mode, in turn")
    parser.add_argument("--model-ms", type=float, default=0.0, help="time of every reply of the model")
    parser.add_argument("--mode", choices=_MODES, help=argparse.SUPPRESS)
    parser.add_argument("--receiver", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mode:
        cost = _collect(options.mode, options.rollouts, options.model_ms, options.receiver)
        sys.stdout.write(json.dumps(cost) + "\n")
        return 0
    samples: dict[str, list[Cost]] = {mode: [] for mode in _MODES}
    with _receiver() as url:
        for _ in range(options.rounds):
            for mode, costs in samples.items():
                costs.append(_measured(mode, options, url))
    for mode, costs in samples.items():
        sys.stdout.write(_line(mode, costs, samples[_OFF]) + "\n")
    return 0


def _line(mode: str, costs: Sequence[Cost], off: Sequence[Cost]) -> str:
    """The medians of a mode, and how its measurements compare with those made just before without anything."""
    cpu = statistics.median(cost.cpu_us / other.cpu_us for cost, other in zip(costs, off, strict=True))
    rate = statistics.median(cost.rate / other.rate for cost, other in zip(costs, off, strict=True))
    return (
        f"{mode:<14} {statistics.median(cost.cpu_us for cost in costs):6.0f} us of CPU a rollout ({cpu:.3f} of off), "
        f"{statistics.median(cost.rate for cost in costs):6.0f} rollouts a second ({rate:.3f} of off)"
    )


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


def _measured(mode: str, options: argparse.Namespace, receiver: str) -> Cost:
    command = [
        sys.executable, "-m", "benchmarks.observability_cost", "--mode", mode, "--receiver", receiver,
        "--rollouts", str(options.rollouts), "--model-ms", str(options.model_ms),
    ]  # fmt: skip
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Cost(*json.loads(output.splitlines()[-1]))


def _collect(mode: str, rollouts: int, model_ms: float, receiver: str) -> Cost:
    example = example_folder()
    latency = f"++policy_model.responses_api_models.scripted_model.latency_ms={model_ms}"
    config = load_config([str(example), latency, *_overrides(mode, receiver)], cwd=example, environ={})
    rows = example / "rows.jsonl"
    count = len(rows.read_text(encoding="utf-8").splitlines())
    repeats = max(1, rollouts // count)
    with tempfile.TemporaryDirectory(prefix="gymctl-bench-observability-") as folder:
        spec = RunSpec(
            input=rows,
            output=Path(folder, "rollouts.jsonl"),
            agents=tuple(config.agent_names),
            num_repeats=repeats,
            concurrency=64,
            metrics="127.0.0.1:0" if mode == _METRICS else "",
        )
        import_prometheus()  # once a process, whatever it collects
        import_messages()
        began = time.monotonic()
        cpu_began = time.process_time()
        report = collect_in_process(config, spec, lambda event: None)
        cpu_s = time.process_time() - cpu_began
        seconds = time.monotonic() - began
    if report.failed or report.unfinished:
        raise SystemExit(report.summary())
    done = repeats * count
    return Cost(1e6 * cpu_s / done, done / seconds)


def _overrides(mode: str, receiver: str) -> list[str]:
    """What a mode adds to the configuration."""
    if mode == _METRICS:
        return ["++observe=true"]
    if mode in _TRACES:
        return [
            "++telemetry.enabled=true",
            f"++telemetry.sample_ratio={_TRACES[mode]}",
            f"++telemetry.otlp_endpoint={receiver}",
        ]
    return []


if __name__ == "__main__":
    raise SystemExit(main())
