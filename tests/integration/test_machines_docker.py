"""A coordinator and a worker in two separate networks, joined by nothing but their published ports."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Folder

from gymctl import assets

pytestmark = pytest.mark.docker

COORDINATOR = """\
head_server: {{host: {host}, port: {head}}}
example_resources:
  resources_servers:
    example_single_tool_call: {{entrypoint: app.py, domain: agent}}
example_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {{type: resources_servers, name: example_resources}}
      model_server: {{type: responses_api_models, name: policy_model}}
"""
WORKER = """\
head_server: {{host: {host}, port: {head}}}
policy_model:
  responses_api_models:
    scripted_model: {{entrypoint: app.py, host: {host}, port: {model}}}
"""
ROWS = "resources_servers/example_single_tool_call/data/example.jsonl"


@pytest.fixture
def host() -> str:
    """An address of this machine that containers of every network can dial."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent: it only asks which address would be used
        return str(probe.getsockname()[0])


@pytest.fixture
def machines(host: str, free_port: int) -> Iterator[list[Folder]]:
    """The two folders; what was started in them is taken away."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        model = probe.getsockname()[1]
    both = [Folder(Path(tempfile.mkdtemp(prefix=f"gymctl-{name}-")), free_port) for name in ("co", "wo")]
    both[1].name += "-worker"
    for folder, name, text in zip(both, ("coordinator", "worker"), (COORDINATOR, WORKER), strict=True):
        (folder.path / f"{name}.yaml").write_text(text.format(host=host, head=free_port, model=model))
    shutil.copy(assets.folder("services") / ROWS, both[0].path / "rows.jsonl")
    yield both
    for folder in reversed(both):
        folder.clean()


def up(folder: Folder, name: str, *options: object) -> subprocess.CompletedProcess[str]:
    return folder.gymctl("up", f"{name}.yaml", "--role", name, "--name", folder.name, *options)


def model_status(coordinator: Folder) -> tuple[str, str] | None:
    listed = json.loads(coordinator.gymctl("status", "--json").stdout)
    return next(((item["state"], item["health"]) for item in listed if item["name"] == "policy_model"), None)


def wait_for(coordinator: Folder, expected: tuple[str, str], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while (seen := model_status(coordinator)) != expected:
        assert time.monotonic() < deadline, seen
        time.sleep(0.5)


def collect(coordinator: Folder, output: str, repeats: int = 4) -> None:
    arguments = ["--input", "rows.jsonl", "--output", output, "--agent", "example_agent", "--num-repeats", repeats]
    done = coordinator.gymctl("collect", *arguments)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (coordinator.path / output).open()]
    assert len(rows) == 5 * repeats and all(row["reward"] == 1.0 for row in rows)


def test_rollouts_across_networks_and_a_worker_that_dies_and_comes_back(machines: list[Folder]) -> None:
    coordinator, worker = machines
    done = up(coordinator, "coordinator")
    assert done.returncode == 0, done.stderr
    token = coordinator.path / ".gymctl" / "head-token"

    (worker.path / "wrong").write_text("not-the-token\n")
    done = up(worker, "worker", "--token-file", "wrong")
    assert done.returncode == 1 and "the token does not match this head's" in done.stderr
    assert "Traceback" not in done.stderr

    done = up(worker, "worker", "--token-file", token, "--node", "gpu1")
    assert done.returncode == 0, done.stderr
    networks = {name: coordinator.docker("network", "inspect", f"{name}_default", "-f", "{{.Id}}") for name in
                (coordinator.name, worker.name)}  # fmt: skip
    assert len(set(networks.values())) == 2
    wait_for(coordinator, ("running", "healthy"))
    collect(coordinator, "first.jsonl")

    secret = token.read_text().strip()
    for folder in machines:
        assert secret not in (folder.path / "compose.yaml").read_text()
        containers = folder.docker("ps", "-q", "--filter", f"label=com.docker.compose.project={folder.name}").split()
        assert secret not in folder.docker("inspect", *containers)
        assert secret not in folder.gymctl("logs").stdout

    worker.docker("compose", "-p", worker.name, "kill", "policy_model")
    wait_for(coordinator, ("running", "unhealthy"))
    worker.docker("compose", "-p", worker.name, "kill")
    wait_for(coordinator, ("gone", ""))
    assert coordinator.gymctl("status").returncode == 1
    worker.docker("compose", "-p", worker.name, "start")
    wait_for(coordinator, ("running", "healthy"))
    collect(coordinator, "second.jsonl")

    assert worker.gymctl("down").returncode == 0
    assert model_status(coordinator) is None
