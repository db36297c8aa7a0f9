"""A stack in one process, from ``up`` to ``down``, and what an interrupt leaves of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_stack import EXAMPLE, GOOD, CommandResult, Gymctl, contents
from free_ports import free_port

pytestmark = pytest.mark.processes

GYMCTL = [sys.executable, "-m", "gymctl.cli.main"]
SERVERS = {
    "head",
    "policy_model",
    "example_single_tool_call",
    "example_single_tool_call_simple_agent",
    "example_multi_step_resources_server",
    "example_multi_step_simple_agent",
}


@pytest.fixture
def up(gymctl: Gymctl, folder: Path) -> Iterator[Gymctl]:
    """``gymctl up --engine local`` with arguments; whatever came of it is taken down again."""

    def start(*arguments: object) -> CommandResult:
        return gymctl("up", *arguments, "--engine", "local", f"+head_server.port={free_port()}")

    yield start
    if (folder / ".gymctl" / "stack.json").exists():
        gymctl("down")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_from_up_to_down(gymctl: Gymctl, folder: Path, up: Gymctl) -> None:
    result = up(EXAMPLE)
    assert result.code == 0
    assert "6 servers" in result.out and "gymctl down" in result.out
    assert {line.partition(":")[0] for line in result.lines if ": healthy" in line} == SERVERS

    result = gymctl("status", "--json")
    assert (result.code, result.err) == (0, "")
    statuses = json.loads(result.out)
    assert {status["name"] for status in statuses} == SERVERS
    assert all(status["ok"] and status["uptime_seconds"] >= 0 for status in statuses)
    assert all(status["address"].startswith("http://127.0.0.1:") for status in statuses)
    with urllib.request.urlopen(f"{statuses[0]['address']}/server_instances") as reply:
        assert {server["process_name"] for server in json.load(reply)} == SERVERS - {"head"}
    assert "example_multi_step_simple_agent" in gymctl("status").out

    result = gymctl("collect", "--input", EXAMPLE / "rows.jsonl", "--output", "out.jsonl")
    assert result.code == 0, result
    assert len((folder / "out.jsonl").read_text().splitlines()) == 10
    assert "10 of 10 rollouts done" in result.out
    assert "stamina" not in result.err

    theirs = ["+input_jsonl_fpath=" + str(EXAMPLE / "rows.jsonl"), "+output_jsonl_fpath=theirs.jsonl", "+limit=3"]
    result = gymctl("collect", *theirs, "--json")
    assert (json.loads(result.out)["done"], result.err) == (3, "")

    assert "policy_model listens on" in gymctl("logs", "policy_model", "--tail", "5").out
    assert gymctl("logs", "--tail", "0").out == ""

    pid = int((folder / ".gymctl" / "local.pid").read_text())
    result = gymctl("down")
    assert (result.code, result.out, result.err) == (0, "trial is down\n", "")
    assert not (folder / ".gymctl").exists()
    assert not alive(pid)
    assert gymctl("status").code == 2


def test_up_again_takes_the_place_of_what_ran(gymctl: Gymctl, folder: Path, up: Gymctl) -> None:
    up(EXAMPLE)
    first = int((folder / ".gymctl" / "local.pid").read_text())
    (folder / "stack.yaml").write_text(GOOD)
    assert up("stack.yaml").code == 0
    assert not alive(first)
    assert {status["name"] for status in json.loads(gymctl("status", "--json").out)} == {
        "head", "policy_model", "weather", "my_agent"
    }  # fmt: skip


def test_a_mistake_leaves_what_runs_alone(gymctl: Gymctl, folder: Path, up: Gymctl) -> None:
    up(EXAMPLE)
    (folder / "stack.yaml").write_text(GOOD.replace("scripted_model", "no_such_model"))
    assert up("stack.yaml").code == 2
    assert gymctl("status").code == 0


def test_a_port_that_is_taken_leaves_what_runs_alone(gymctl: Gymctl, folder: Path, up: Gymctl) -> None:
    up(EXAMPLE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = gymctl("up", EXAMPLE, "--engine", "local", f"+head_server.port={port}")
    assert (result.code, len(result.lines)) == (1, 1)
    assert f"port {port} on 127.0.0.1 is already in use" in result.err
    assert gymctl("status").code == 0


def test_a_stack_takes_the_ports_of_the_one_before(gymctl: Gymctl, folder: Path) -> None:
    arguments = ("up", EXAMPLE, "--engine", "local", f"+head_server.port={free_port()}")
    assert [gymctl(*arguments).code, gymctl(*arguments).code, gymctl("down").code] == [0, 0, 0]


def test_what_had_to_make_room_for_a_failure_is_said(gymctl: Gymctl, folder: Path, up: Gymctl) -> None:
    up(EXAMPLE)
    failing_server(folder, "raise RuntimeError('no table')")
    result = up("stack.yaml")
    assert result.code == 1
    assert result.lines[0] == "note: the previous stack trial has been stopped"
    assert "weather could not start" in result.lines[1]
    assert contents(folder).keys() & {".gymctl"} == set()


def test_no_secret_is_written_down(folder: Path, up: Gymctl) -> None:
    secret = "sk-a-key-that-nobody-may-see"
    assert up(EXAMPLE, f"+policy_api_key={secret}").code == 0
    assert not [path for path, text in contents(folder).items() if secret.encode() in text]


def test_a_process_that_ended_is_seen_and_not_mistaken_for_another(gymctl: Gymctl, folder: Path, up: Gymctl) -> None:
    up(EXAMPLE)
    pid = int((folder / ".gymctl" / "local.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    while alive(pid):
        time.sleep(0.02)
    result = gymctl("status", "--json")
    assert result.code == 1
    assert {status["state"] for status in json.loads(result.out)} == {"exited"}
    result = gymctl("collect", "--input", EXAMPLE / "rows.jsonl", "--output", "out.jsonl")
    assert result.code == 1
    assert result.err == "error: the stack trial has stopped: its process has exited; start it again with `gymctl up`\n"
    assert gymctl("down").code == 0
    assert contents(folder) == {}


def start(*arguments: str) -> subprocess.Popen[str]:
    """A command in a process group of its own, as a shell starts it, so that it can be interrupted like Ctrl-C does."""
    return subprocess.Popen(
        [*GYMCTL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_interrupted_collection_loses_nothing_and_goes_on(gymctl: Gymctl, folder: Path, up: Gymctl) -> None:
    up(EXAMPLE)
    out = folder / "out.jsonl"
    arguments = ["collect", "--input", str(EXAMPLE / "rows.jsonl"), "--output", "out.jsonl", "--num-repeats", "300"]
    process = start(*arguments, "--concurrency", "8")
    wait_for(lambda: out.exists() and out.read_bytes().count(b"\n") > 20, process)
    os.killpg(process.pid, signal.SIGINT)
    printed, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Continue with --resume" in printed
    assert "Traceback" not in errors
    before = out.read_text().splitlines()
    assert all(json.loads(line) for line in before)
    assert f"{len(before)} of 3000 rollouts done" in printed

    result = gymctl(*arguments, "--concurrency", "64", "--resume")
    assert result.code == 0, result
    after = out.read_text().splitlines()
    assert after[: len(before)] == before
    keys = {(row["_ng_task_index"], row["_ng_rollout_index"]) for row in map(json.loads, after)}
    assert len(after) == len(keys) == 3000


def failing_server(folder: Path, startup: str) -> None:
    """A stack.yaml whose tools are a server that does not come up."""
    (folder / "stack.yaml").write_text(GOOD.replace("example_single_tool_call", "mine"))
    app = folder / "resources_servers" / "mine" / "app.py"
    app.parent.mkdir(parents=True)
    app.write_text(
        "import asyncio\n"
        "from gymctl.server import ResourcesServer, VerifyResponse\n"
        "class Mine(ResourcesServer):\n"
        f"    async def startup(self): {startup}\n"
        "    async def verify(self, body): return VerifyResponse.of(body, reward=1.0)\n"
    )


def test_an_interrupt_says_what_had_to_make_room(folder: Path, up: Gymctl) -> None:
    up(EXAMPLE)
    number = folder / ".gymctl" / "local.pid"
    before = number.read_text()
    failing_server(folder, "await asyncio.sleep(60)")
    process = start("up", "stack.yaml", "--engine", "local", f"+head_server.port={free_port()}")
    wait_for(lambda: number.read_text() != before, process)
    os.killpg(process.pid, signal.SIGINT)
    expected = "note: the previous stack trial has been stopped\ninterrupted; nothing was started\n"
    assert process.communicate(timeout=30) == ("", expected)
    assert not (folder / ".gymctl").exists()


def test_interrupted_up_leaves_nothing(folder: Path) -> None:
    failing_server(folder, "await asyncio.sleep(60)")
    process = start("up", "stack.yaml", "--engine", "local", f"+head_server.port={free_port()}")
    state = folder / ".gymctl" / "stack.json"
    wait_for(state.exists, process)
    pid = int((folder / ".gymctl" / "local.pid").read_text())
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "interrupted; nothing was started\n")
    assert process.returncode == 130
    assert not (folder / ".gymctl").exists()
    assert not alive(pid)
