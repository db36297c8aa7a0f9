"""An update of a running stack loses no call, and one that fails leaves the stack as it was."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import Folder

from gymctl import assets

pytestmark = pytest.mark.docker

ENVIRONMENT = "example_session_state_mgmt"
TOOLS, AGENT, MODEL = f"{ENVIRONMENT}_resources_server", f"{ENVIRONMENT}_simple_agent", "policy_model"
ROW = json.loads(
    (assets.folder("services") / "resources_servers" / ENVIRONMENT / "data" / "example.jsonl")
    .read_text()
    .splitlines()[0]
)
STACK = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/{environment}/configs/{environment}.yaml
"""
CLIENT = Path(__file__).with_name("steady_client.py").read_text()
RATE = 40


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port)
    yield made
    made.clean()


def write(folder: Folder, version: str, replicas: int = 1) -> None:
    """The configuration; another version makes every server another one, and the head."""
    own = {"environment": {"VERSION": version}, "replicas": replicas}
    servers: dict[str, dict[str, Any]] = {name: dict(own) for name in (MODEL, TOOLS, AGENT)}
    servers[AGENT]["responses_api_agents"] = {"simple_agent": {"max_steps": 10 + int(version)}}  # the head shows it
    text = STACK.format(environment=ENVIRONMENT)
    (folder.path / "stack.yaml").write_text(text + "".join(f"{key}: {json.dumps(servers[key])}\n" for key in servers))


def up(folder: Folder, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = folder.up("stack.yaml", "--no-probe", "--drain", 60, *arguments)
    assert done.returncode == code, done.stderr
    return done


@contextmanager
def steady_calls(command: Sequence[str], targets: list[dict[str, Any]], rate: float) -> Iterator[dict[str, Any]]:
    """Call the targets while the block runs; afterwards the mapping has calls and failures by URL."""
    results: dict[str, Any] = {}
    argv = [*command, "-c", CLIENT, str(rate), json.dumps(targets)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == b"started\n"
        yield results
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    results.update(json.loads(output))


def inside(folder: Folder) -> list[str]:
    """Python in a container on the networks between the stack's servers."""
    state = json.loads((folder.path / ".gymctl" / "stack.json").read_text())
    label = f"label=com.docker.compose.project={folder.name}"
    names = folder.docker("network", "ls", "--format", "{{.Name}}", "--filter", label).split()
    networks = [part for name in names if not name.endswith("egress") for part in ("--network", name)]
    return ["docker", "run", "--rm", "-i", *networks, "--entrypoint", "python", state["image"]]


def targets_inside(folder: Folder) -> list[dict[str, Any]]:
    state = json.loads((folder.path / ".gymctl" / "stack.json").read_text())
    addresses = {server["name"]: server["address"] for server in state["servers"]}
    question = ROW["responses_create_params"]
    return [
        {"url": f"{addresses[MODEL]}/v1/responses", "body": question},
        {"url": f"{addresses[TOOLS]}/"},
        {"url": f"{addresses[AGENT]}/run", "body": ROW},
        {"url": f"http://head:{folder.port}/server_instances"},
    ]


def containers(folder: Folder) -> dict[str, str]:
    """Ids of the containers of the stack by name."""
    form = "{{.Names}} {{.ID}}"
    lines = folder.docker("ps", "-a", "--filter", f"label=com.docker.compose.project={folder.name}", "--format", form)
    return dict(line.split() for line in lines.splitlines())


def lost(results: dict[str, Any]) -> dict[str, list[str]]:
    assert all(result["calls"] > 10 for result in results.values())
    return {url: result["failures"] for url, result in results.items() if result["failures"]}


@pytest.mark.parametrize("replicas", [1, 2])
def test_an_update_of_every_server_loses_no_call_from_inside(folder: Folder, replicas: int) -> None:
    write(folder, "1", replicas)
    up(folder)
    before = containers(folder)
    with steady_calls(inside(folder), targets_inside(folder), RATE) as results:
        time.sleep(2)
        write(folder, "2", replicas)
        done = up(folder)
        time.sleep(2)
    assert lost(results) == {}
    after = containers(folder)
    assert after.keys() == before.keys(), "the new containers have the names of the old ones"
    assert not set(after.values()) & set(before.values())
    assert "4 replaced" in done.stderr
    assert folder.gymctl("plan").returncode == 0


def test_a_version_that_does_not_start_changes_nothing(folder: Folder) -> None:
    write(folder, "1", 2)
    up(folder)
    before = containers(folder)
    files = {name: (folder.path / name).read_bytes() for name in ("compose.yaml", ".gymctl/stack.json")}
    broken = {"command": ["python", "-c", "print('no such table'); raise SystemExit(3)"]}
    override = folder.path / "compose.override.yaml"
    with steady_calls(inside(folder), targets_inside(folder), RATE) as results:
        time.sleep(1)
        write(folder, "2", 2)
        override.write_text(json.dumps({"services": {AGENT: broken}}))
        failed = up(folder, code=1)
        override.unlink()
        time.sleep(1)
    assert f"{AGENT} ended with code 3" in failed.stderr
    assert "the previous version of the stack is running" in failed.stderr
    assert "| no such table" in failed.stderr
    assert lost(results) == {}
    assert containers(folder) == before
    assert {name: (folder.path / name).read_bytes() for name in files} == files
    write(folder, "1", 2)
    assert folder.gymctl("plan").returncode == 0


def test_a_head_that_does_not_start_does_not_stop_the_old_one(folder: Folder) -> None:
    write(folder, "1")
    up(folder)
    before = containers(folder)
    broken = {"command": ["python", "-c", "raise SystemExit(3)"]}
    (folder.path / "compose.override.yaml").write_text(json.dumps({"services": {"head": broken}}))
    target = {"url": f"http://127.0.0.1:{folder.port}/server_instances"}
    with steady_calls([sys.executable], [target], RATE) as results:
        failed = up(folder, code=1)
    assert "head ended with code 3" in failed.stderr
    assert lost(results) == {}
    assert containers(folder) == before


def test_a_rollback_returns_to_the_version_before_and_loses_no_call(folder: Folder) -> None:
    write(folder, "1")
    up(folder)
    refused = folder.gymctl("rollback")
    assert refused.returncode == 2
    assert "has no earlier version" in refused.stderr
    first = (folder.path / "compose.yaml").read_bytes()
    write(folder, "2")
    up(folder)
    second = (folder.path / "compose.yaml").read_bytes()
    with steady_calls(inside(folder), targets_inside(folder), RATE) as results:
        done = folder.gymctl("rollback", "--drain", 60)
    assert done.returncode == 0, done.stderr
    assert "4 replaced" in done.stdout
    assert lost(results) == {}
    assert (folder.path / "compose.yaml").read_bytes() == first != second
    assert folder.gymctl("status").returncode == 0
    write(folder, "1")
    assert (
        folder.gymctl("plan", "stack.yaml", "--name", folder.name, f"+head_server.port={folder.port}").returncode == 0
    )
    changes = json.loads(folder.gymctl("history", "--json").stdout)
    assert [(change["command"], change["outcome"]) for change in changes] == [
        ("gymctl up", "done"),
        ("gymctl up", "done"),
        ("gymctl rollback", "done"),
    ]
