"""The node server while its head cannot be reached."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gymctl.config.vocabulary import NODE_KEY

pytestmark = [pytest.mark.enable_socket, pytest.mark.processes]

REPOSITORY = Path(__file__).resolve().parents[2]


def test_one_that_waits_for_its_head_ends_when_it_is_told_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe, socket.create_server(("127.0.0.1", 0)) as other:
        ports = probe.getsockname()[1], other.getsockname()[1]
    fields = f"host: 127.0.0.1, port: {ports[0]}, node: gpu1, token: t, head: 'http://127.0.0.1:{ports[1]}'"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NEMO_GYM_CONFIG_PATH": NODE_KEY}
    environment["NEMO_GYM_CONFIG_DICT"] = f"{NODE_KEY}: {{{fields}, servers: []}}"
    folder = REPOSITORY / "services" / "node"
    command = [sys.executable, "app.py"]
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        assert "does not answer" in process.stderr.readline()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ports[0]))  # not well before it is registered
        began = time.monotonic()
        process.terminate()
        assert process.wait(timeout=20) == -signal.SIGTERM
        assert time.monotonic() - began < 3
    finally:
        process.kill()
        process.communicate()
