"""The index of a results file compared with plain reading: time, memory, and the cost of queries.

``python -m benchmarks.results_index`` writes 100,000 rollouts of 50 KB (5 GB) into a temporary folder, indexes them
with the file's pages dropped from the cache and again with them cached, and asks. Times are printed as ratios of
reading the same file, measured in the same run. Each measurement is a process of its own; the peak of its memory is
from ``/proc``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import peak_memory_mb
from gymctl.results import Index, Outcome, Query, Sort, read_groups, summarise

_REPEATS = 8
_TURNS = 12
_CHUNK = 1 << 20
_WORDS = (
    "the tool returned a list of cities and their weather so the next call asks for every one of them again".split()
)


@dataclass(frozen=True)
class Sample:
    """One measurement: seconds, of them on a processor, and peak memory in MB. Imports are left out of the times."""

    seconds: float
    cpu: float
    megabytes: float


def write_rollouts(path: Path, count: int, size: int) -> None:
    """Write ``count`` rollouts of about ``size`` bytes: 12 turns of reasoning, a tool call and its output."""
    source = random.Random(0)
    with path.open("wb", buffering=_CHUNK) as out:
        for number in range(count):
            out.write(json.dumps(_rollout(source, number, size)).encode() + b"\n")


def _rollout(source: random.Random, number: int, size: int) -> dict[str, Any]:
    words = " ".join(source.choices(_WORDS, k=24))
    text = words * max(1, size // (_TURNS * 3) // len(words))
    output: list[dict[str, Any]] = []
    for turn in range(_TURNS):
        call = f"call_{turn}"
        output.append({"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]})
        arguments = json.dumps({"query": text})
        output.append({"type": "function_call", "call_id": call, "name": "search", "arguments": arguments})
        answer = json.dumps({"result": text, "ok": True})
        output.append({"type": "function_call_output", "call_id": call, "output": answer})
    output.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": words}]})
    return {
        "responses_create_params": {"input": [{"role": "user", "content": f"Task {number // _REPEATS}: {words}"}]},
        "response": {
            "output": output,
            "model": "model",
            "usage": {"input_tokens": size // 4, "output_tokens": source.randrange(100, 4000)},
        },
        "reward": float(source.random() < 0.4),
        "score": source.random(),
        "agent_ref": {"name": f"agent_{number % 2}"},
        "_ng_task_index": number // _REPEATS,
        "_ng_rollout_index": number % _REPEATS,
        "_gymctl_timing": {
            "queue_ms": 1.5,
            "total_ms": source.uniform(1000, 60000),
            "hops": {"seed": 2.0, "model": source.uniform(900, 50000), "tool": 80.0, "verify": 12.0},
        },
    }


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as source:
        while source.read(_CHUNK):
            pass


def _index(path: Path) -> None:
    Index.open(path).close()


def _reopen(path: Path) -> None:
    Index.open(path).close()


def _summary(path: Path) -> None:
    with Index.open(path) as index:
        summarise(index)


def _list(path: Path) -> None:
    query = Query(outcome=Outcome.NOT_PASSED, tools=("search",), sort=Sort.TOKENS, descending=True, limit=100)
    with Index.open(path) as index:
        index.rollouts(query)


def _groups(path: Path) -> None:
    with Index.open(path) as index:
        read_groups(index, mixed=True, limit=100)


def _open_one(path: Path) -> None:
    with Index.open(path) as index:
        index.transcript(index.rollouts(Query(sort=Sort.TIME, descending=True, limit=1)).rollouts[0])


def _find_absent(path: Path) -> None:
    with Index.open(path) as index:
        assert not list(index.matches("a text that no rollout contains"))


_STEPS: dict[str, Callable[[Path], None]] = {
    "read": _read,
    "index": _index,
    "open again": _reopen,
    "summary": _summary,
    "list, filtered and sorted": _list,
    "groups": _groups,
    "open one rollout": _open_one,
    "find an absent text": _find_absent,
}


def measured(step: str, path: Path) -> Sample:
    """One of the steps, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.results_index", "--step", step, "--file", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Sample(*(float(value) for value in done.stdout.split()))


def drop_cache(path: Path) -> None:
    """Have the next reading come from the disk, where the kernel complies."""
    with path.open("rb") as source:
        os.fsync(source.fileno())
        os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def remove_index(path: Path) -> None:
    """Have the next command index the file from its start."""
    path.with_name("rollouts.index.sqlite").unlink(missing_ok=True)


def _report(name: str, samples: Sequence[Sample], reading: float) -> None:
    seconds = statistics.median(sample.seconds for sample in samples)
    cpu = statistics.median(sample.cpu for sample in samples)
    peak = max(sample.megabytes for sample in samples)
    ratio = seconds / reading
    sys.stdout.write(f"{name:<28} {seconds:8.3f} s {cpu:8.3f} s CPU {ratio:7.2f} x reading {peak:5.0f} MB\n")


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results_index", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=50_000, help="bytes of a rollout")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each, in turn; medians are printed")
    parser.add_argument("--step", choices=_STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        began = time.perf_counter()
        began_cpu = time.process_time()
        _STEPS[options.step](options.file)
        cpu = time.process_time() - began_cpu
        sys.stdout.write(f"{time.perf_counter() - began} {cpu} {peak_memory_mb(os.getpid())}\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="gymctl-bench-results-") as folder:
        path = Path(folder, "rollouts.jsonl")
        write_rollouts(path, options.rollouts, options.size)
        _compare(path, options.repeats)
    return 0


def _compare(path: Path, repeats: int) -> None:
    size = path.stat().st_size
    for title, from_disk in (("from the disk", True), ("cached", False)):
        samples: dict[str, list[Sample]] = {"read": [], "index": []}
        for _ in range(repeats):
            for step, times in samples.items():
                remove_index(path)
                if from_disk:
                    drop_cache(path)
                times.append(measured(step, path))
        reading = statistics.median(sample.seconds for sample in samples["read"])
        sys.stdout.write(f"{title}, {size / 1e9:.2f} GB, load {os.getloadavg()[0]:.1f}:\n")
        for step, times in samples.items():
            _report(step, times, reading)
    index_size = path.with_name("rollouts.index.sqlite").stat().st_size
    sys.stdout.write(f"index: {index_size / 1e6:.1f} MB, {index_size / size:.2%} of the file\n")
    for step in list(_STEPS)[2:]:
        _report(step, [measured(step, path) for _ in range(repeats)], reading)


if __name__ == "__main__":
    raise SystemExit(main())
