"""A server's start: what its own code raises is told, and a signal ends one that waits."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.enable_socket

REPOSITORY = Path(__file__).resolve().parents[2]
SERVER = """
import asyncio
from gymctl.errors import InputError
from gymctl.server import ResourcesServer

class Mine(ResourcesServer):
    async def startup(self):
        {startup}

if __name__ == "__main__":
    Mine.serve()
"""
WAITS = """print("begun", flush=True)
        try:
            await asyncio.sleep(60)
        finally:
            print("released", flush=True)"""


def begin(folder: Path, startup: str) -> subprocess.Popen[str]:
    (folder / "app.py").write_text(SERVER.format(startup=startup))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = f"env: {{resources_servers: {{mine: {{host: 127.0.0.1, port: {port}}}}}}}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment |= {"NEMO_GYM_CONFIG_DICT": config, "NEMO_GYM_CONFIG_PATH": "env"}
    command = [sys.executable, "app.py"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def test_what_a_server_raises_at_its_start_ends_it_and_is_in_the_log(tmp_path: Path) -> None:
    process = begin(tmp_path, "raise RuntimeError('no table')")
    _, errors = end(process)
    assert process.returncode > 0
    assert "Traceback" in errors and "in startup" in errors
    assert f"error: env could not start: RuntimeError: no table ({tmp_path / 'app.py'}:8)" in errors


def test_a_sentence_for_the_user_stands_alone(tmp_path: Path) -> None:
    process = begin(tmp_path, "raise InputError('no table', 'make one') from KeyError('x')")
    _, errors = end(process)
    assert process.returncode > 0
    assert "error: no table; make one" in errors and "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_start_that_waits(tmp_path: Path, number: signal.Signals) -> None:
    process = begin(tmp_path, WAITS)
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    began = time.monotonic()
    process.send_signal(number)
    out, errors = end(process)
    assert time.monotonic() - began < 5
    assert out == "released\n" and "error" not in errors
    assert process.returncode == -number or number == signal.SIGINT
