"""An update of a running stack loses no call, and one that fails leaves the stack as it was."""

from __future__ import annotations

import json
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from command_line import Folder
from free_ports import free_port as another_port
from updated_stack import AGENT, containers, inside, lost, steady_calls, targets_inside, up, write

pytestmark = pytest.mark.docker

RATE = 40


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port)
    yield made
    made.clean()


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
    assert f"{AGENT} exited with code 3" in failed.stderr
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
    assert "head exited with code 3" in failed.stderr
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


def edge_answers(folder: Folder, port: int) -> int:
    """The status of a call with the token and the CA that the directory has."""
    files = folder.path / ".gymctl"
    trust = ssl.create_default_context(cafile=files / "edge-ca.pem")
    headers = {"authorization": f"Bearer {(files / 'edge-token').read_text().strip()}"}
    return httpx.get(f"https://127.0.0.1:{port}/server_instances", verify=trust, headers=headers).status_code


def test_a_rollback_restores_the_certificate_and_the_token_of_the_edge(folder: Folder) -> None:
    port = another_port()
    write(folder, "1")
    up(folder, f"++edge={{port: {port}}}")
    first = {path.name: path.read_bytes() for path in (folder.path / ".gymctl").glob("edge-*")}
    (folder.path / ".gymctl/edge-token").unlink()
    up(folder, f"++edge={{port: {port}, names: [another.example]}}")
    assert edge_answers(folder, port) == 200
    second = {path.name: path.read_bytes() for path in (folder.path / ".gymctl").glob("edge-*")}
    assert all(first[name] != second[name] for name in first), "the CA, the certificate and the token"
    for expected in (first, second):
        done = folder.gymctl("rollback", "--drain", 60)
        assert done.returncode == 0, done.stderr
        assert {path.name: path.read_bytes() for path in (folder.path / ".gymctl").glob("edge-*")} == expected
        assert edge_answers(folder, port) == 200


def test_an_update_that_fails_leaves_the_certificate_and_the_token_of_the_edge(folder: Folder) -> None:
    port = another_port()
    write(folder, "1")
    up(folder, f"++edge={{port: {port}}}")
    before = {path.name: path.read_bytes() for path in (folder.path / ".gymctl").glob("edge-*")}
    (folder.path / ".gymctl/edge-token").unlink()
    write(folder, "2")
    broken = {"command": ["python", "-c", "raise SystemExit(3)"]}
    (folder.path / "compose.override.yaml").write_text(json.dumps({"services": {AGENT: broken}}))
    up(folder, f"++edge={{port: {port}, names: [another.example]}}", code=1)
    assert {path.name: path.read_bytes() for path in (folder.path / ".gymctl").glob("edge-*")} == before
    assert edge_answers(folder, port) == 200
