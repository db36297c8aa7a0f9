"""The event loop of a server while its checks run: ``python -m benchmarks.checking``.

Verifications are handed to the server on its own event loop (uvloop), so that what the callers cost is in the lag too.
The lag is what a sleep of 5 ms takes longer than 5 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import orjson
import uvloop

from gymctl import assets
from gymctl.server import Call, Client, LocalTransport, Settings
from gymctl.server.responses import message, response
from gymctl.server.run.loader import load_server_class

_TICK_S = 0.005
_SUM = "a, b = map(int, input().split())\nprint(a + b)"


@dataclass(frozen=True)
class Measured:
    """One environment's run; times in ms, memory in MB."""

    environment: str
    count: int
    seconds: float
    median_lag: float
    p99_lag: float
    worst_lag: float
    latency: float
    own_cpu: float
    right: int


def math_row(number: int) -> dict[str, Any]:
    """A fraction, written in another way; every answer is new to every cache."""
    text = rf"So it is $\boxed{{\frac{{{2 * number + 1}}}{{{2 * number + 7}}} + \sqrt{{{number}}}}}$."
    expected = rf"\sqrt{{{number}}} + \frac{{{4 * number + 2}}}{{{4 * number + 14}}}"
    return {"question": "?", "expected_answer": expected, "response": response("m", [message(text)])}


def code_row(number: int) -> dict[str, Any]:
    """A sum, and two tests of it."""
    tests = {"inputs": [f"{number} 1\n", "2 2\n"], "outputs": [f"{number + 1}\n", "4\n"]}
    answer = response("m", [message(f"```python\n{_SUM}\n```")])
    return {"verifier_metadata": {"unit_tests": tests}, "response": answer}


ROWS: dict[str, Callable[[int], dict[str, Any]]] = {"library_judge_math": math_row, "comp_coding": code_row}
_FIELDS = {"judge_model_server": {"type": "responses_api_models", "name": "none"}, "should_use_judge": False}


async def measure(environment: str, count: int, concurrency: int) -> Measured:
    """``count`` verifications, at most ``concurrency`` at a time, after one that starts the workers."""
    folder = assets.folder("services") / "resources_servers" / environment
    settings = Settings(environment, "resources_servers", environment, "127.0.0.1", 1, _FIELDS)
    server = load_server_class(folder, "app.py")(settings, Client(LocalTransport({})))
    places = asyncio.Semaphore(concurrency)
    latencies = []
    right = 0

    async def verify(number: int) -> None:
        """Make one verification."""
        nonlocal right
        row = {"responses_create_params": {"input": "?"}, **ROWS[environment](number)}
        async with places:
            began = time.perf_counter()
            reply = await server.handle(Call("/verify", orjson.dumps(row)))
            latencies.append((time.perf_counter() - began) * 1000)
        right += reply.status == 200 and reply.json()["reward"] == 1.0

    await verify(10**6)
    latencies.clear()
    right = 0
    lags: list[float] = []
    probe = asyncio.create_task(_probe(lags))
    began = time.perf_counter()
    cpu = _cpu()
    await asyncio.gather(*(verify(number) for number in range(1, count + 1)))
    seconds = time.perf_counter() - began
    cpu = _cpu() - cpu
    probe.cancel()
    await server.shutdown()
    ordered = sorted(lags)
    return Measured(
        environment, count, seconds, statistics.median(ordered), ordered[int(0.99 * len(ordered))], ordered[-1],
        statistics.median(latencies), cpu * 1000 / count, right,
    )  # fmt: skip


async def _probe(lags: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(_TICK_S)
        lags.append((time.perf_counter() - began - _TICK_S) * 1000)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def table(results: list[Measured]) -> str:
    """Markdown."""
    titles = "environment,checks,per second,loop lag ms: median p99 worst,median check ms,server CPU ms a check,right"
    lines = [f"| {titles.replace(',', ' | ')} |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {each.environment} | {each.count} | {each.count / each.seconds:.0f} "
        f"| {each.median_lag:.1f} {each.p99_lag:.1f} {each.worst_lag:.1f} | {each.latency:.0f} "
        f"| {each.own_cpu:.2f} | {each.right} |"
        for each in results
    ]
    return "\n".join(lines)


def run(work: Coroutine[Any, Any, Measured]) -> Measured:
    """Run it on the event loop that servers have."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def main() -> int:
    """Print the table; 1 when a verdict was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checking", description=__doc__)
    parser.add_argument("environments", nargs="*", default=[*ROWS], help=", ".join(ROWS))
    parser.add_argument("-n", "--count", type=int, default=1000)
    parser.add_argument("-c", "--concurrency", type=int, default=256)
    options = parser.parse_args()
    results = [run(measure(name, options.count, options.concurrency)) for name in options.environments]
    sys.stdout.write(table(results) + "\n")
    return int(any(each.right != each.count for each in results))


if __name__ == "__main__":
    raise SystemExit(main())
