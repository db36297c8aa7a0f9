"""Dead and silent servers: ``gymctl collect`` ends by its deadlines, says why, and does not call it success."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gymctl.engines.local.engine import LocalEngine
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.state import StackState, save_state

ROOT = Path(__file__).resolve().parents[2]
AGENT = "some_agent"

StackOf = Callable[[int], None]


def gymctl(folder: Path, *arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gymctl.cli.main", *arguments]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    piped: dict[str, Any] = {"capture_output": True, "text": True}
    return subprocess.run(command, cwd=folder, env=environ, timeout=seconds, check=False, **piped)


def collect(folder: Path, *options: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Collect twenty rows; more than ``seconds`` is a hang."""
    rows = [{"responses_create_params": {"input": f"question {number}"}} for number in range(20)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ("--input", "rows.jsonl", "--output", "rollouts.jsonl", "--agent", AGENT, "--concurrency", "8")
    return gymctl(folder, "collect", *files, *options, seconds=seconds)


@pytest.fixture
def stack_of(tmp_path: Path) -> Iterator[StackOf]:
    """A stack of one agent at a port, brought up as far as ``gymctl collect`` can tell."""
    lives = [sys.executable, "-c", "import time; time.sleep(600)", "gymctl.engines.local.process"]
    with subprocess.Popen(lives) as process:
        yield lambda port: _write_stack(tmp_path, port, process.pid)
        process.kill()


def _write_stack(folder: Path, port: int, pid: int) -> None:
    address = f"http://127.0.0.1:{port}"
    server = ServerAddress(AGENT, "responses_api_agents", "some", address)
    save_state(folder, StackState("local", "test", address, (server,)))
    (folder / ".gymctl" / "local.pid").write_text(str(pid))


def failures(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rollouts_failures.jsonl").read_text().splitlines()]


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that is taken and refuses."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


class Trickle:
    """Takes connections and answers with ``words`` at most, one byte every tenth of a second; ends with the test."""

    def __init__(self, words: bytes = b"", *, accepts: bool = True) -> None:
        self.words, self.open = words, True
        self._held: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512 if accepts else 0)
        self.port: int = self._socket.getsockname()[1]
        if accepts:
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while self.open:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._held.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.recv(65536)  # the request, or the beginning of it
        for byte in self.words:
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                return
            time.sleep(0.1)

    def close(self) -> None:
        self.open = False
        for connection in [self._socket, *self._held]:
            connection.close()


def test_a_dead_agent(tmp_path: Path, stack_of: StackOf, dead_port: int) -> None:
    stack_of(dead_port)
    done = collect(tmp_path, "--deadline", "20", "--stall", "1")
    assert done.returncode == 1
    assert "Aborted after 1 s without a success" in done.stdout
    assert "some_agent: POST /run cannot be reached" in done.stdout
    assert "Continue with --resume" in done.stdout
    assert {row["_ng_failure_class"] for row in failures(tmp_path)} == {"connect"}


@pytest.mark.parametrize(
    ("words", "accepts"),
    [(b"", True), (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + b"{" * 99, True), (b"", False)],
    ids=["never answers", "answers for ever", "does not even accept"],
)
def test_an_agent_that_keeps_one_waiting(tmp_path: Path, stack_of: StackOf, words: bytes, accepts: bool) -> None:
    agent = Trickle(words, accepts=accepts)
    try:
        stack_of(agent.port)
        done = collect(tmp_path, "--deadline", "1", "--stall", "2", "--max-attempts", "2")
    finally:
        agent.close()
    assert done.returncode == 1
    assert "timed out" in done.stdout
    assert {row["_ng_failure_class"] for row in failures(tmp_path)} == {"timeout"}
    assert not (tmp_path / "rollouts.jsonl").read_text()


def test_the_report_as_json_says_it_too(tmp_path: Path, stack_of: StackOf, dead_port: int) -> None:
    stack_of(dead_port)
    done = collect(tmp_path, "--deadline", "20", "--stall", "1", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert (report["total"], report["done"], report["unfinished"]) == (20, 0, 20)
    assert report["stalled"].startswith("Aborted")


@pytest.mark.parametrize("silent", [False, True], ids=["dead", "silent"])
def test_a_dead_model(tmp_path: Path, dead_port: int, free_port: int, silent: bool) -> None:
    """A whole stack behind it: the message names the model, not the agent that told of it."""
    model = Trickle()
    stack = """\
        config_paths:
        - responses_api_models/openai_model/configs/openai_model.yaml
        - resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml
        """
    (tmp_path / "stack.yaml").write_text("\n".join(line.strip() for line in stack.splitlines()))
    port = model.port if silent else dead_port
    endpoint = (f"+policy_base_url=http://127.0.0.1:{port}/v1", "+policy_api_key=none", "+policy_model_name=m")
    head = f"+head_server.port={free_port}"
    up = gymctl(tmp_path, "up", "stack.yaml", "--engine", "local", head, *endpoint, seconds=60)
    try:
        assert up.returncode == 0, up.stderr
        agent = ("--agent", "example_single_tool_call_simple_agent")
        done = collect(tmp_path, *agent, "--deadline", "3", "--stall", "2", "--max-attempts", "2")
    finally:
        LocalEngine(tmp_path).down()
        model.close()
    assert done.returncode == 1
    assert "policy_model" in done.stdout
    assert {row["_gymctl_failure"]["hop"] for row in failures(tmp_path)} <= {
        "policy_model",
        "example_single_tool_call_simple_agent",
    }
    assert not (tmp_path / "rollouts.jsonl").read_text()
