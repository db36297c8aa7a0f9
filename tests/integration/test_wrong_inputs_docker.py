"""What goes wrong with Docker, through the command line: what is said, the exit code, and what is left."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from command_line import EXAMPLE, Folder

pytestmark = pytest.mark.docker

STACK = """\
policy_model:
  responses_api_models:
    scripted_model: {entrypoint: app.py}
weather:
  resources_servers:
    mine: {entrypoint: app.py, domain: agent}
my_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: weather}
      model_server: {type: responses_api_models, name: policy_model}
"""
HANGS = "print('loads its table', flush=True); import time; time.sleep(600)"

# the server's code, its requirements, options of up, what the lines of the error say
SERVERS = {
    "an image that cannot be built": (
        "",
        "no-such-package-at-all>=99\n",
        [],
        [r"^error: image \S+-mine:\S+ cannot be built at .*; check the requirements of mi", "no-such-package-at-all"],
        False,
    ),
    "a server that exits at start": (
        "raise SystemExit('no table')",
        "",
        [],
        [r"^error: weather exited with code 1.*; full log: docker compose logs weather; "
         r"to clean up: gymctl down \[server-failed\]$",
         r"^  \| no table$"],
        True,
    ),
    "a server that never gets healthy": (
        HANGS,
        "",
        ["--timeout", "12"],
        [r"^error: weather is not healthy after 12 s.*; full log: docker compose logs weather; to clean up: gymctl",
         r"^  \| loads its table$"],
        True,
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path / "stack", free_port)
    made.path.mkdir()
    yield made
    made.clean()


class WriteServer(Protocol):
    """Writes a stack whose server has this code and these requirements."""

    def __call__(self, code: str, requirements: str = "") -> Folder: ...


@pytest.fixture
def with_a_server(folder: Folder) -> WriteServer:
    """A stack with a server of the user's own, given its code and its requirements."""

    def write(code: str, requirements: str = "") -> Folder:
        (folder.path / "stack.yaml").write_text(STACK)
        place = folder.path / "resources_servers" / "mine"
        place.mkdir(parents=True)
        (place / "app.py").write_text(code)
        (place / "requirements.txt").write_text(requirements)
        return folder

    return write


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines from the first error on; before it come those about images and servers that are ready."""
    assert "Traceback" not in done.stderr, done.stderr
    lines = done.stderr.splitlines()
    return lines[next(n for n, line in enumerate(lines) if line.startswith("error: ")) :]


@pytest.mark.parametrize(("code", "requirements", "options", "patterns", "started"), SERVERS.values(), ids=SERVERS)
def test_a_server_that_does_not_come_up(
    with_a_server: WriteServer, code: str, requirements: str, options: list[str], patterns: list[str], started: bool
) -> None:
    folder = with_a_server(code, requirements)
    done = folder.up("stack.yaml", *options)
    lines = errors(done)
    assert done.returncode == 1
    assert re.search(patterns[0], lines[0]), lines
    assert any(re.search(patterns[1], line) for line in lines[1:]), lines
    assert all(line.startswith("  | ") for line in lines[1:]), lines
    assert (folder.gymctl("status").returncode == 1) == started
    if started:  # to be looked at; the hint says how to clean up
        assert folder.gymctl("down").returncode == 0
    assert folder.left() == []
    assert folder.files() == {"stack.yaml", "resources_servers"}


def test_a_port_that_is_taken(folder: Folder) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", folder.port))
        taken.listen()
        done = folder.up(EXAMPLE)
    pattern = (
        rf"error: port {folder.port} on 127.0.0.1 is already used by process {os.getpid()} \(.*\); stop it, or choose"
    )
    assert done.returncode == 1
    assert len(errors(done)) == 1 and re.match(pattern, done.stderr), done.stderr

    publish = ["-p", f"127.0.0.1:{folder.port}:80", "--entrypoint", "sleep"]
    image = folder.docker("images", "-q", "gymctl-server").split()[:1]
    assert image or folder.up(EXAMPLE).returncode == 0  # an engine that has no image of ours yet
    image = image or folder.docker("images", "-q", "gymctl-server").split()[:1]
    folder.gymctl("down")
    folder.docker("run", "-d", "--rm", "--name", f"{folder.name}-port", *publish, *image, "600")
    try:
        done = folder.up(EXAMPLE)
    finally:
        folder.docker("rm", "-f", f"{folder.name}-port")
    assert done.returncode == 1
    assert (
        f"is already used by the container {folder.name}-port; stop it, or choose another port: +head_server"
        in done.stderr
    )
    assert folder.files() == set()


def test_interrupted_up_says_what_is_left(with_a_server: WriteServer) -> None:
    folder = with_a_server(HANGS)
    process, printed, errors = folder.interrupted(
        folder.up_arguments("stack.yaml"), lambda: "weather" in folder.docker("ps", "--format", "{{.Names}}",
            "--filter", f"label=com.docker.compose.project={folder.name}")
    )  # fmt: skip
    assert process.returncode == 130
    assert printed == ""
    assert errors.splitlines()[-1] == "interrupted; to clean up: gymctl down"
    assert "Traceback" not in errors
    assert folder.gymctl("down").returncode == 0
    assert folder.left() == []


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """A stack of containers that runs; tests put it right again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = Folder(tmp_path_factory.mktemp("running"), port)
    done = made.up(EXAMPLE)
    assert done.returncode == 0, done.stderr
    (made.path / "rows.jsonl").write_text((EXAMPLE / "rows.jsonl").read_text())
    yield made
    made.clean()


ROW = json.loads((EXAMPLE / "rows.jsonl").read_text().splitlines()[0])
NO_AGENT = json.dumps({key: value for key, value in ROW.items() if key != "agent_ref"})
COLLECTIONS = {
    "a row without an agent": (NO_AGENT, "bad.jsonl", "out.jsonl", "bad.jsonl:1: the row names no agent; add "),
    "an unknown agent": (
        json.dumps({**ROW, "agent_ref": {"name": "nobody"}}),
        "bad.jsonl",
        "out.jsonl",
        "bad.jsonl:1: the stack has no agent 'nobody'",
    ),
    "broken JSON": ('{"a": ', "bad.jsonl", "out.jsonl", "bad.jsonl:1: invalid JSON"),
    "no rows": ("", "bad.jsonl", "out.jsonl", "bad.jsonl has no rows"),
    "no input": ("", "nope.jsonl", "out.jsonl", "file not found: nope.jsonl"),
    "no folder": ("", "rows.jsonl", "no/out.jsonl", "the output directory no does not exist"),
}


@pytest.mark.parametrize(("text", "rows", "output", "message"), COLLECTIONS.values(), ids=COLLECTIONS)
def test_a_collection_that_cannot_be(running: Folder, text: str, rows: str, output: str, message: str) -> None:
    (running.path / "bad.jsonl").write_text(text)
    before = running.files()
    done = running.gymctl("collect", "--input", rows, "--output", output)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}"), done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert running.files() == before


def test_disk_that_is_full(running: Folder, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    try:
        done = running.gymctl("collect", "-i", "rows.jsonl", "-o", small / "out.jsonl", "--num-repeats", "500")
        left = [path.name for path in small.iterdir()]
    finally:
        subprocess.run(["umount", small], check=True)
    assert done.returncode == 1
    assert re.fullmatch(r"error: the disk of \S+ is full: nothing was written; free disk space .*\n", done.stderr), (
        done.stderr
    )
    assert left == []


def test_interrupted_collection_loses_nothing_and_goes_on(running: Folder) -> None:
    out = running.path / "long.jsonl"
    arguments = ["collect", "--input", "rows.jsonl", "--output", "long.jsonl", "--num-repeats", "200"]
    process, printed, errors = running.interrupted(
        [*arguments, "--concurrency", "4"], lambda: out.exists() and out.read_bytes().count(b"\n") > 20
    )
    assert process.returncode == 130
    assert "Continue with --resume" in printed
    assert "Traceback" not in errors
    before = out.read_text().splitlines()
    assert f"{len(before)} of 2000 rollouts done" in printed
    assert "collect" not in running.docker(
        "ps", "-a", "--format", "{{.Names}}", "--filter", f"name={running.name}-collect"
    )

    done = running.gymctl(*arguments, "--resume", "--concurrency", "32")
    assert done.returncode == 0, done.stderr
    after = out.read_text().splitlines()
    assert after[: len(before)] == before
    keys = {(row["_ng_task_index"], row["_ng_rollout_index"]) for row in map(json.loads, after)}
    assert len(after) == len(keys) == 2000


def test_a_killed_server_is_seen_within_five_seconds(running: Folder) -> None:
    assert running.gymctl("status").returncode == 0
    running.docker("compose", "kill", "policy_model")
    began = time.monotonic()
    done = running.gymctl("status", "--json")
    seconds = time.monotonic() - began
    killed = next(server for server in json.loads(done.stdout) if server["name"] == "policy_model")
    assert (done.returncode, killed["state"], killed["exit_code"], killed["ok"]) == (1, "exited", 137, False)
    assert seconds < 5
    assert re.search(r"^policy_model .*exited \(137\)", running.gymctl("status").stdout, re.M)

    assert running.up(EXAMPLE).returncode == 0
    assert running.gymctl("status").returncode == 0


def test_an_engine_that_is_gone_leaves_everything_as_it_was(running: Folder) -> None:
    before = running.files()
    for command in (["status"], ["down"], ["collect", "-i", "rows.jsonl", "-o", "o.jsonl"]):
        done = running.gymctl(*command, env={"DOCKER_HOST": "unix:///nonexistent"})
        assert done.returncode == 1
        assert done.stderr.startswith("error: no Docker engine at unix:///nonexistent"), done.stderr
        assert done.stderr.count("\n") == 1
    assert running.files() == before
    assert running.gymctl("status").returncode == 0


def test_a_stack_taken_away_behind_our_back(running: Folder) -> None:
    running.docker("compose", "down")
    done = running.gymctl("collect", "-i", "rows.jsonl", "-o", "o.jsonl")
    assert (done.returncode, done.stderr) == (
        1,
        f"error: the stack {running.name} is not running: it has no network; start it: gymctl up\n",
    )
    assert not (running.path / "o.jsonl").exists()
    assert running.gymctl("status").returncode == 1
    assert running.gymctl("down").returncode == 0
    assert not (running.path / ".gymctl").exists()
