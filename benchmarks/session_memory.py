"""Memory of a stateful resources server after 10,000 and after 100,000 rollouts: gymctl's, and NeMo Gym's.

    python -m benchmarks.session_memory [--upstream VENV] [--rollouts 100000] [--results FILE]

Each side runs ``example_session_state_mgmt`` as one process without any other server, and gets the calls that NeMo
Gym's ``simple_agent`` makes: a rollout opens a session, makes two tool calls and verifies, with cookies of its own.
VENV is a virtual environment with nemo-gym 0.7.0; without it, only gymctl's server is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import machine
from benchmarks.sides import SERVICES

PLACE = Path("resources_servers", "example_session_state_mgmt")
NAME = "counter"
IN_FLIGHT = 32
PARAMS = {"input": [{"role": "user", "content": "count"}]}
ANSWER = {
    "id": "r",
    "created_at": 0,
    "model": "none",
    "object": "response",
    "output": [],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}


@dataclass(frozen=True)
class Measured:
    """One server at one moment."""

    side: str
    rollouts: int
    memory_mb: float
    """Resident memory of all its processes."""
    seconds: float
    """Since the first rollout."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each side and print a table; 1 when a rollout had a wrong reward or gymctl's server grew by 10 %."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.session_memory", description=__doc__)
    parser.add_argument("--upstream", type=Path, help="a virtual environment with nemo-gym 0.7.0")
    parser.add_argument("--rollouts", type=int, default=100_000, help="rollouts in all; the first tenth is the warm-up")
    parser.add_argument("--results", type=Path, default=Path("session-memory.json"), help="the file that is written")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an orderly way out, so that no server is left behind
    sides = {"gymctl": (Path(sys.executable), SERVICES / PLACE)}
    if options.upstream:
        python = options.upstream.absolute() / "bin" / "python"
        packages = next((options.upstream / "lib").glob("python3.*")) / "site-packages"
        sides["nemo-gym"] = (python, packages.absolute() / PLACE)
    measured = [
        sample for side, (python, folder) in sides.items() for sample in _of(side, python, folder, options.rollouts)
    ]
    options.results.write_text(json.dumps([asdict(sample) for sample in measured], indent=2) + "\n")
    sys.stdout.write("side | rollouts | memory, MB | seconds\n")
    for sample in measured:
        sys.stdout.write(f"{sample.side} | {sample.rollouts:,} | {sample.memory_mb:.1f} | {sample.seconds:.0f}\n")
    first, last = (sample.memory_mb for sample in measured if sample.side == "gymctl")
    return int(last > 1.1 * first)


def _of(side: str, python: Path, folder: Path, rollouts: int) -> list[Measured]:
    """What one side's server takes after a tenth of the rollouts and after all."""
    with _running(python, folder) as (url, process):
        return asyncio.run(_drive(side, url, process, rollouts))


async def _drive(side: str, url: str, process: int, rollouts: int) -> list[Measured]:
    began = time.monotonic()
    measured = []
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(url, connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        done = 0
        for target in (rollouts // 10, rollouts):
            numbers = iter(range(done, target))
            async with asyncio.TaskGroup() as group:
                for _ in range(IN_FLIGHT):
                    group.create_task(_rollouts(session, numbers))
            done = target
            memory = machine.memory_mb(machine.family(process))
            measured.append(Measured(side, done, memory, time.monotonic() - began))
            sys.stderr.write(f"{side}: {measured[-1]}\n")
    return measured


async def _rollouts(session: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
    for number in numbers:
        await _rollout(session, number % 10)


async def _rollout(session: aiohttp.ClientSession, start: int) -> None:
    """One rollout in a session of its own.

    Raises:
        RuntimeError: the server counted wrong.
    """
    task = {"responses_create_params": PARAMS, "initial_count": start, "expected_count": start + 3}
    cookies: dict[str, str] = {}
    await _post(session, "/seed_session", task, cookies)
    await _post(session, "/increment_counter", {"count": 1}, cookies)
    await _post(session, "/increment_counter", {"count": 2}, cookies)
    verdict = await _post(session, "/verify", {**task, "response": ANSWER}, cookies)
    if verdict["reward"] != 1.0:
        raise RuntimeError(f"the reward is {verdict['reward']}")


async def _post(session: aiohttp.ClientSession, path: str, body: Mapping[str, Any], cookies: dict[str, str]) -> Any:
    async with session.post(path, json=body, cookies=cookies) as reply:
        if reply.status != 200:
            raise RuntimeError(f"{path}: {reply.status} {await reply.text()}")
        cookies.update({name: morsel.value for name, morsel in reply.cookies.items()})
        return await reply.json()


@contextmanager
def _running(python: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """The server of a folder, ready; its URL and process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    entry = {"entrypoint": "app.py", "domain": "agent", "host": "127.0.0.1", "port": port}
    head = {"host": "127.0.0.1", "port": 1}
    config = {"head_server": head, "dry_run": False, NAME: {PLACE.parts[0]: {PLACE.name: entry}}}
    environment = {"NEMO_GYM_CONFIG_DICT": json.dumps(config), "NEMO_GYM_CONFIG_PATH": NAME}
    process = subprocess.Popen(
        [str(python), "app.py"],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONPATH": str(SERVICES.parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server listens.

    Raises:
        RuntimeError: it ended, or two minutes passed.
    """
    for _ in range(1200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
        if process.poll() is not None:
            break
    raise RuntimeError("the server does not start")


if __name__ == "__main__":
    raise SystemExit(main())
