"""``python -m benchmarks.kill_matrix``: run every kind several times and print a table.

Exit code 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import Queue

from benchmarks.kill_matrix.fleet import ROOT, die_with_parent
from benchmarks.kill_matrix.kinds import KINDS, Kind
from benchmarks.kill_matrix.verdict import Outcome, table

_PART = 5  # seeds for one process, which starts the servers once
_PATIENT = 4  # repetitions that wait for an outage to end, or a server to thaw, need no processor


def main() -> int:
    """Run the requested kinds. Returns 0 if every repetition ended without a violation."""
    options = _arguments()
    kinds = [kind for kind in KINDS if not options.kind or any(name in kind.name for name in options.kind)]
    if not kinds:
        sys.exit(f"unknown kind; choose from: {', '.join(kind.name for kind in KINDS)}")
    seeds = [options.seed + number for number in range(options.times)]
    print(f"seeds {seeds[0]} to {seeds[-1]}; to repeat one: --seed SEED --times 1 --kind KIND", flush=True)
    outcomes = _run(kinds, seeds, options.at_once)
    print(f"\n{table(outcomes, [kind.name for kind in kinds])}")
    if options.json:
        text = json.dumps([asdict(outcome) for outcome in outcomes], indent=1)
        Path(options.json).write_text(text, encoding="utf-8")
    is_complete = len(outcomes) == len(kinds) * len(seeds)
    if is_complete and not any(outcome.violations for outcome in outcomes):
        return 0
    return 1


def _run(kinds: Sequence[Kind], seeds: Sequence[int], at_once: int) -> list[Outcome]:
    """Every outcome, printed as soon as it is known."""
    outcomes = []
    for outcome in _all(kinds, seeds, at_once):
        outcomes.append(outcome)
        print(_line(outcome), flush=True)
    return outcomes


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kill_matrix", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="repetitions of each kind (20)")
    parser.add_argument("--kind", action="append", help="only kinds whose name holds this; may be given again")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the first repetition")
    parser.add_argument(
        "--at-once", type=int, default=(os.cpu_count() or 1) + _PATIENT, help="processes beside each other"
    )
    parser.add_argument("--json", help="file for the outcomes")
    return parser.parse_args()


def _all(kinds: Sequence[Kind], seeds: Sequence[int], at_once: int) -> Iterator[Outcome]:
    """Outcomes as they come. Drivers are processes, so that the death of one is reported at once."""
    queue: Queue[Outcome | None] = Queue()
    with ThreadPoolExecutor(at_once) as pool:
        # the long ones first, so that they do not end alone; in parts, so that they do not end one after the other
        parts = [
            (kind.name, seeds[first : first + _PART])
            for kind in sorted(kinds, key=lambda kind: -kind.waits_s)
            for first in range(0, len(seeds), _PART)
        ]
        for name, some in parts:
            pool.submit(_in_process, name, some, queue)
        for _ in parts:
            while (outcome := queue.get()) is not None:
                yield outcome


def _in_process(name: str, seeds: list[int], queue: Queue[Outcome | None]) -> None:
    command = [sys.executable, "-m", "benchmarks.kill_matrix.repetition", name, *map(str, seeds)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one call, no locks
    ) as process:
        for line in process.stdout or ():
            queue.put(Outcome(**json.loads(line)))
    queue.put(None)


def _line(outcome: Outcome) -> str:
    if outcome.violations:
        result = f"{'; '.join(outcome.violations)}; see {outcome.saved_in}"
    else:
        result = "ok"
    blows = ", ".join(outcome.strikes)
    return (
        f"{outcome.kind}, seed {outcome.seed}: {outcome.seconds:.1f} s, {outcome.sessions} sessions ({blows}): {result}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
