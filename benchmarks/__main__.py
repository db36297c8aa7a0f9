"""``python -m benchmarks CASE...``: compare, print a table, write results.json and charts.

``rollouts --sweep`` goes over concurrencies and two delays of the model; ``--write-docs docs`` puts what was measured
into docs/performance.md, with ``--add`` and no case what earlier runs measured.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import chart, machine, page, report, sweep
from benchmarks.cases import CASES as SHORT_CASES
from benchmarks.cases import SLOW_MODEL_MS, Plan, Sample
from benchmarks.floor import FLOOR, floor
from benchmarks.long_rollouts import long_rollouts
from benchmarks.sides import UPSTREAM, Side

CASES = {**SHORT_CASES, "long": long_rollouts, "floor": floor}
PORTS = 21_000  # of the backend; the sides' follow
GYMCTL = "gymctl"
WITH_TOKENS = "gymctl, tokens: true"
TOKEN_CASES = ("rollouts", "proxy", "verify", "long", "startup")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases asked for; 1 when a request failed on our side."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an orderly way out, so that no stack is left behind
    options.results.mkdir(parents=True, exist_ok=True)
    samples = [sample for file in options.add for sample in report.read(file)]
    sides = _sides(options, options.results)
    names = [*dict.fromkeys([*(side.name for side in sides), *(sample.side for sample in samples)])]
    if "floor" in options.cases and FLOOR not in names:
        names.append(FLOOR)
    pythons = {side.name: machine.python_version(side.python) for side in sides}
    about = {
        "command": "python -m benchmarks " + " ".join(sys.argv[1:] if arguments is None else arguments),
        "machine": machine.description(),
        "pythons": pythons,
    }
    for case in options.cases:
        with tempfile.TemporaryDirectory(prefix=f"gymctl-bench-{case}-") as folder:
            plan = _plan(options, case, Path(folder))
            for sample in _samples(options, case, plan):
                samples.append(sample)
                _progress(sample)
                report.save(options.results / "results.json", samples, about)
    report.save(options.results / "results.json", samples, about)
    _write_tables(options.results, report.lines(samples, names), names)
    if options.write_docs:
        sys.stderr.write(f"written: {', '.join(page.write(options.write_docs, samples))}\n")
    return int(any(sample.values.get("failed") for sample in samples if sample.side in (GYMCTL, WITH_TOKENS)))


def _write_tables(folder: Path, lines: Sequence[report.Line], names: Sequence[str]) -> None:
    """Print the table of ``lines``, and write it and a chart of each quantity to ``folder``."""
    table = report.table(lines, names) + "\n"
    sys.stdout.write("\n" + table)
    (folder / "table.md").write_text(table)
    for quantity, title in (
        ("cpu_ms", "CPU per operation, ms: less is better"),
        ("rate", "Per second: more is better"),
    ):
        drawn = chart.chart([line for line in lines if line.quantity == quantity], title)
        (folder / f"{quantity}.svg").write_text(drawn)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], metavar="CASE", help=", ".join(CASES))
    parser.add_argument(
        "--upstream",
        type=Path,
        nargs="+",
        default=[Path(name) for name in os.environ.get("GYMCTL_BENCH_UPSTREAM", "").split(os.pathsep) if name],
        help="virtual environments with nemo-gym and ray, the one to compare with first; without it only gymctl is "
        "measured [GYMCTL_BENCH_UPSTREAM]",
    )
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="the interpreter of our servers")
    parser.add_argument("--results", type=Path, default=Path("benchmark-results"), help="folder for what is written")
    parser.add_argument("--add", type=Path, nargs="+", default=[], help="results.json of earlier runs, shown along")
    parser.add_argument("-c", "--concurrency", type=int, nargs="+", help="requests in flight (64; a sweep's own)")
    parser.add_argument("-n", "--count", type=int, default=2000, help="requests in a run, at least")
    parser.add_argument("-r", "--repeats", type=int, help="runs of each side, in turn (5; a sweep's: 3)")
    parser.add_argument("--slow-model", action="store_true", help="rollouts: also with a model that takes 2 s")
    parser.add_argument("--only-slow-model", action="store_true", help="rollouts: only with a model that takes 2 s")
    parser.add_argument(
        "--sweep",
        action="store_true",
        help="rollouts: 1 to 16,384 in flight, a model of 0 s and of 2 s, p99 by the ideal",
    )
    parser.add_argument(
        "--upstream-most", type=int, default=4096, help="the most in flight for NeMo Gym in a sweep (4096: minutes)"
    )
    parser.add_argument(
        "--tokens",
        action="store_true",
        help=f"{', '.join(TOKEN_CASES)}: also gymctl with `tokens: true`, in turn with gymctl without",
    )
    parser.add_argument("--write-docs", type=Path, metavar="DOCS", help="put tables and chart into DOCS/performance.*")
    options = parser.parse_args(arguments)
    options.concurrency = options.concurrency or (sweep.CONCURRENCIES if options.sweep else [64])
    options.repeats = options.repeats or (3 if options.sweep else 5)
    return options


def _samples(options: argparse.Namespace, case: str, plan: Plan) -> Iterator[Sample]:
    if options.sweep and case == "rollouts":
        return sweep.sweep(plan, options.upstream_most)
    return CASES[case](plan)


def _plan(options: argparse.Namespace, case: str, folder: Path) -> Plan:
    if options.only_slow_model:
        delays = [SLOW_MODEL_MS]
    elif options.slow_model:
        delays = [0, SLOW_MODEL_MS]
    else:
        delays = [0]
    sides = _sides(options, folder, case)
    return Plan(sides, folder, PORTS, options.count, options.repeats, options.concurrency, delays)


def _sides(options: argparse.Namespace, folder: Path, case: str = "rollouts") -> list[Side]:
    one_process = case == "allinone"
    sides = [Side(GYMCTL, options.python.absolute(), PORTS + 10, PORTS, folder / "gymctl", one_process)]
    if options.tokens and case in TOKEN_CASES:
        sides.append(
            replace(sides[0], name=WITH_TOKENS, port=PORTS + 20, folder=folder / "gymctl-tokens", has_tokens=True)
        )
    for place, environment in enumerate(options.upstream):
        python = environment.absolute() / "bin" / "python"
        name = UPSTREAM
        if place > 0:
            name = f"{UPSTREAM} {machine.package_version(python, UPSTREAM)}"
        sides.append(Side(name, python, PORTS + 30 + 20 * place, PORTS, folder / name.replace(" ", "-")))
    return sides


def _progress(sample: Sample) -> None:
    values: dict[str, Any] = {name: f"{value:.4g}" for name, value in sample.values.items() if "cpu_ms " not in name}
    summary = " ".join(f"{name}={value}" for name, value in values.items())
    sys.stderr.write(f"{sample.case} | {sample.side} | {summary} | load {sample.load:.1f}\n")


if __name__ == "__main__":
    raise SystemExit(main())
