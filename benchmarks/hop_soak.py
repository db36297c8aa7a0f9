"""Millions of calls over the HTTP client of the stack, against a peer that resets, delays, splits and truncates.

``python -m benchmarks.hop_soak --calls 10000000``. Every call sends a body of its own and must get just that body back,
or an error. Calls are cancelled at random. At the end no socket, task or memory may be left. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from gymctl.server.calls.connection_pool import Address, ConnectError, ConnectionPool
from gymctl.server.calls.http_connection import BrokenConnectionError

_CANCELLED_SHARE = 0.02
_LONGEST_S = 0.02
_MEMORY_MB = 40
"""Growth of resident memory after the first tenth of the calls that counts as a leak."""
_PATIENCE_S = 30.0


@dataclass
class Soak:
    """What happened so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Calls by outcome: ``right``, ``mixed up``, ``broken``, ``cancelled``, ``no connection``, ``hung``."""
    problems: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """Calls that have ended."""
        return self.outcomes.total()


async def soak(address: Address, calls: int, concurrency: int, seed: int) -> Soak:
    """Make ``calls`` calls, ``concurrency`` at a time, over half as many connections."""
    result = Soak()
    sockets = _open_sockets()
    pool = ConnectionPool(max(1, concurrency // 2), keepalive_s=5.0)
    first_memory = 0.0
    for part in range(10):
        workers = (
            _work(pool, address, calls // 10 // concurrency, random.Random(f"{seed}-{part}-{n}"), result)
            for n in range(concurrency)
        )
        await asyncio.gather(*workers)
        gc.collect()
        if part == 0:
            first_memory = _memory_mb()
        sys.stderr.write(f"{result.calls:>12,} calls, {_memory_mb():.0f} MB: {dict(result.outcomes)}\n")
    await pool.close()
    await asyncio.sleep(0.1)
    growth = _memory_mb() - first_memory
    if growth > _MEMORY_MB:
        result.problems.append(f"memory grew by {growth:.0f} MB")
    if _open_sockets() > sockets:
        result.problems.append(f"{_open_sockets() - sockets} sockets are still open")
    if len(asyncio.all_tasks()) > 1:
        result.problems.append(f"{len(asyncio.all_tasks()) - 1} tasks are still running")
    for outcome in ("mixed up", "hung"):
        if result.outcomes[outcome]:
            result.problems.append(f"{result.outcomes[outcome]} calls: {outcome}")
    return result


async def _work(pool: ConnectionPool, address: Address, calls: int, choice: random.Random, result: Soak) -> None:
    for _ in range(calls):
        body = b"%032x" % choice.getrandbits(128) * choice.randint(1, 8)
        head = b"POST /echo HTTP/1.1\r\nhost: peer\r\ncontent-length: %d\r\n\r\n" % len(body)
        call = pool.exchange(address, head, body, _PATIENCE_S)
        if choice.random() < _CANCELLED_SHARE:
            limit = choice.random() * _LONGEST_S
        else:
            limit = _PATIENCE_S
        try:
            async with asyncio.timeout(limit):
                response = await call
        except TimeoutError:
            if limit == _PATIENCE_S:
                outcome = "hung"
            else:
                outcome = "cancelled"
        except BrokenConnectionError:
            outcome = "broken"
        except ConnectError:
            outcome = "no connection"
        else:
            if response.body == body:
                outcome = "right"
            else:
                outcome = "mixed up"
        result.outcomes[outcome] += 1


def _open_sockets() -> int:
    names = (path.readlink().name for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return sum(name.startswith("socket:") for name in names)


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(calls: int, concurrency: int, seed: int) -> Soak:
    """Start the peer, make the calls, stop the peer."""
    peer = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.hop_peer", str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    assert peer.stdin is not None and peer.stdout is not None
    try:
        port = int(peer.stdout.readline())
        return uvloop.run(soak(("127.0.0.1", port), calls, concurrency, seed))
    finally:
        peer.stdin.close()
        peer.wait(timeout=10)


def main() -> int:
    """Parse the arguments, run, report."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--calls", type=int, default=10_000_000)
    options.add_argument("--concurrency", type=int, default=64)
    options.add_argument("--seed", type=int, default=1)
    arguments = options.parse_args()
    start = time.monotonic()
    result = run(arguments.calls, arguments.concurrency, arguments.seed)
    sys.stdout.write(f"{result.calls:,} calls in {time.monotonic() - start:.0f} s: {dict(result.outcomes)}\n")
    for problem in result.problems:
        sys.stdout.write(f"wrong: {problem}\n")
    return int(bool(result.problems))


if __name__ == "__main__":
    sys.exit(main())
