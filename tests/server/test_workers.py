"""Servers of several processes share the port, are replaced when they die, and are refused where state is kept."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from free_ports import free_port

pytestmark = [pytest.mark.enable_socket, pytest.mark.processes]

REPOSITORY = Path(__file__).resolve().parents[2]
SERVER = """
import asyncio
import os
from gymctl.server import ResourcesServer, tool

class Counter(ResourcesServer):
    {declaration}

    @tool
    async def work(self) -> dict[str, str]:
        await asyncio.sleep(3.5)
        return {{"done": "yes"}}

    @tool
    async def who(self) -> dict[str, int]:
        return {{"process": os.getpid(), "limit": self._most_in_flight}}

if __name__ == "__main__":
    Counter.serve()
"""


@contextmanager
def server(folder: Path, declaration: str, fields: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    (folder / "app.py").write_text(SERVER.format(declaration=declaration))
    port = free_port()
    config = f"env: {{resources_servers: {{counter: {{host: 127.0.0.1, port: {port}, {fields}}}}}}}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment |= {"NEMO_GYM_CONFIG_DICT": config, "NEMO_GYM_CONFIG_PATH": "env"}
    command = [sys.executable, "app.py"]
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE)
    try:
        yield process, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def ask(port: int, path: str = "/who") -> dict[str, Any]:
    """One call over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, b"{}", {"content-type": "application/json"})
        answer: dict[str, Any] = orjson.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def processes(port: int, enough: Callable[[set[int]], bool]) -> set[int]:
    """The processes that answer, asked until there are enough."""
    seen: set[int] = set()
    limit = time.monotonic() + 20
    while not enough(seen) and time.monotonic() < limit:
        try:
            seen.add(ask(port)["process"])
        except OSError:
            time.sleep(0.05)
    return seen


def test_workers_share_the_port_and_the_limits_and_end_together(tmp_path: Path) -> None:
    with server(tmp_path, "stateless = True", "num_workers: 2, max_in_flight: 10") as (process, port):
        seen = processes(port, lambda seen: len(seen) == 2)
        assert len(seen) == 2
        assert process.pid not in seen
        assert ask(port)["limit"] == 5
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert not any(Path(f"/proc/{worker}").exists() for worker in seen)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_under_way_ends_as_it_would_have_and_nothing_new_begins(tmp_path: Path, workers: int) -> None:
    with server(tmp_path, "stateless = True", f"num_workers: {workers}") as (process, port):
        processes(port, lambda seen: len(seen) == workers)
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(ask, port, "/work")
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(ConnectionRefusedError):
                ask(port)
            assert answer.result() == {"done": "yes"}
        process.wait(timeout=10)


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    declaration = "import gymctl.server.run.workers as workers; workers._SOON_S = 0.4; stateless = True"
    with server(tmp_path, declaration, "num_workers: 2") as (_, port):
        first = processes(port, lambda seen: len(seen) == 2)
        time.sleep(0.5)  # one that ends sooner could not start
        os.kill(min(first), signal.SIGKILL)
        later = processes(port, lambda seen: bool(seen - first))
        assert later - first


def test_a_server_that_keeps_state_refuses_workers(tmp_path: Path) -> None:
    with server(tmp_path, "pass", "num_workers: 2") as (process, _):
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 2
        assert b"num_workers is 2" in errors
        assert b"stateless = True" in errors


def test_a_port_that_another_program_has_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = (
            f"from gymctl.server.run.workers import run_workers; run_workers(2, '127.0.0.1', {port}, lambda: None)"
        )
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=REPOSITORY, check=False)
    assert ran.returncode == 1
    assert f"port {port} on 127.0.0.1 is not available".encode() in ran.stderr


def test_a_worker_that_cannot_start_ends_the_server() -> None:
    program = f"""
import sys
from gymctl.server.run import workers
sys.exit(workers.run_workers(2, '127.0.0.1', {free_port()}, lambda: sys.exit(3)))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=REPOSITORY, check=False, timeout=20)
    assert ran.returncode == 3
