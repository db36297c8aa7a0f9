"""Checks on Ray in containers: on the nodes, a killed one comes back; a cluster that does not fit is refused."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from command_line import GYMCTL, Folder
from swarm_lab import Lab, docker

pytestmark = [pytest.mark.docker]

BASE = os.environ.get("GYMCTL_BASE_IMAGE", "python:3.12-slim")
# The model says 42 of every sum; half of the rows want something else, so that a reward of 0 is right for them.
STACK = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/library_judge_math/configs/bytedtsinghua_dapo17k.yaml
policy_model: {responses_api_models: {scripted_model: {says: {sum: 'It is \\boxed{42}'}}}}
"""
RAY = "ray: {workers: 2, cpus: 1, dashboard: false}\n"
KILL = ("sh", "-c", "kill -9 -1")  # all that the node consists of, at once


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port, patience=500)
    yield made
    made.clean()


def write(path: Path, ray: str) -> None:
    (path / "stack.yaml").write_text(STACK + ray)
    with (path / "rows.jsonl").open("w") as file:
        for status in (42, 41):
            question = f"The sum is {status}, or is it?"
            row = {"responses_create_params": {"input": question}, "question": question, "expected_answer": str(status)}
            file.write(json.dumps({**row, "agent_ref": {"name": "library_judge_math_simple_agent"}}) + "\n")


def collected(
    path: Path, rollouts: int, env: dict[str, str], meanwhile: Callable[[], object] | None = None
) -> list[dict[str, Any]]:
    """Collect, and after a quarter do something. All rows are there, each with the reward that is right for it."""
    output = path / "out.jsonl"
    output.unlink(missing_ok=True)
    options = ["-i", "rows.jsonl", "-o", output.name, "--force", "--num-repeats", rollouts // 2, "--concurrency", 8]
    argv = [*GYMCTL, "collect", *map(str, options)]
    with subprocess.Popen(argv, cwd=path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while meanwhile and process.poll() is None and _lines(output) < rollouts // 4:
            time.sleep(0.05)
        if meanwhile:
            meanwhile()
        errors, _ = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert len({(row["_ng_task_index"], row["_ng_rollout_index"]) for row in rows}) == len(rows) == rollouts
    assert {(row["expected_answer"], row["reward"]) for row in rows} == {("42", 1.0), ("41", 0.0)}
    assert not any("library_error" in row for row in rows)
    return rows


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def nodes(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Where checks ran: the host name, and the ids of the Ray nodes that were there."""
    nodes: dict[str, set[str]] = {}
    for row in rows:
        nodes.setdefault(row["verified_on"]["host"], set()).add(row["verified_on"]["node"])
    return nodes


def one_each(nodes: dict[str, set[str]]) -> dict[str, str]:
    assert all(len(ids) == 1 for ids in nodes.values()), nodes
    return {host: next(iter(ids)) for host, ids in nodes.items()}


def await_both(look: Callable[[], dict[str, set[str]]], seconds: float = 90) -> dict[str, set[str]]:
    """Until two nodes do checks again."""
    deadline = time.monotonic() + seconds
    while len(nodes := look()) < 2:
        assert time.monotonic() < deadline, nodes
        time.sleep(1)
    return nodes


@pytest.mark.slow
def test_checks_run_on_nodes_and_a_killed_one_comes_back(folder: Folder) -> None:
    write(folder.path, RAY)
    up = folder.up("stack.yaml")
    assert up.returncode == 0, up.stderr
    environ = dict(os.environ)

    before = one_each(nodes(collected(folder.path, 40, environ)))
    label = f"label=com.docker.compose.project={folder.name}"
    workers = folder.docker("ps", "-q", "--filter", label, "--filter", "label=com.docker.compose.service=ray-worker")
    assert set(before) == set(workers.split()), "on both nodes, and nowhere else"

    victim, other = sorted(before)
    rows = collected(folder.path, 120, environ, lambda: folder.docker("exec", victim, *KILL))
    assert before[other] in nodes(rows)[other]

    after = one_each(await_both(lambda: nodes(collected(folder.path, 16, environ))))
    assert set(after) == set(before)
    assert after[other] == before[other]
    assert after[victim] != before[victim], "the container is the same, the node of Ray's a new one"


@pytest.mark.lab
def test_checks_run_on_the_nodes_of_a_swarm(tmp_path: Path) -> None:
    shared = tmp_path / "ray"
    shared.mkdir()
    lab = Lab(f"gymctl-test-{os.getpid()}-ray", 2, shared=shared)
    try:
        lab.up()
        file = shared / "base.tar"
        docker("save", "--output", str(file), BASE)
        lab.on(lab.names[0], "load", "--quiet", "--input", str(file), timeout=300)
        file.unlink()
        _checks_on_a_swarm(lab, shared)
    finally:
        lab.down()


def _checks_on_a_swarm(lab: Lab, path: Path) -> None:
    manager, worker = lab.names
    placed = RAY.replace("}", ", placement: {role: worker}}") + "placement: {role: manager}\n"
    write(path, placed)
    environ = {**os.environ, **lab.manager}
    argv = [*GYMCTL, "up", "--engine", "swarm", "--name", "rays", "--host", lab.hosts[1], "stack.yaml"]
    up = subprocess.run(argv, cwd=path, env=environ, capture_output=True, text=True, check=False, timeout=500)
    assert up.returncode == 0, up.stdout + up.stderr
    assert _running(lab, "ray-head") == {manager}
    assert _running(lab, "ray-worker") == {worker}

    before = one_each(nodes(collected(path, 40, environ)))
    assert set(before) == _hosts(lab, worker), "on both nodes, on the other machine, and nowhere else"

    victim = min(before)
    rows = collected(path, 80, environ, lambda: lab.on(worker, "exec", victim, *KILL))
    assert nodes(rows)
    after = one_each(await_both(lambda: nodes(collected(path, 16, environ))))
    assert victim not in after, "Swarm starts another task in its place"
    assert len(set(after) & set(before)) == 1
    assert set(after) == _hosts(lab, worker)


def _running(lab: Lab, service: str) -> set[str]:
    """The nodes on which a service has running tasks."""
    tasks = lab.on(lab.names[0], "service", "ps", f"rays_{service}", "--filter", "desired-state=running",
                   "--format", "{{.Node}}")  # fmt: skip
    return set(tasks.split())


def _hosts(lab: Lab, node: str) -> set[str]:
    """The host names of the containers of Ray's nodes on a machine."""
    return set(lab.on(node, "ps", "-q", "--filter", "label=com.docker.swarm.service.name=rays_ray-worker").split())


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a cluster beside the containers, of the Ray and the Python that these tests run on.

    Ray gives its node 30 s, whatever the machine does besides: what failed is begun anew, on other ports.
    """
    pytest.importorskip("ray", reason="needs Ray here: pip install -e '.[dev]'")
    host = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    for left in (2, 1, 0):
        with _ray(host) as (process, port, output):
            deadline = time.monotonic() + 120
            while process.poll() is None and not _listens(host, port) and time.monotonic() < deadline:
                time.sleep(0.2)
            if process.poll() is None and _listens(host, port):
                yield f"ray://{host}:{port}"
                return
            assert left, output.read_text(errors="replace")[-2000:]


@contextmanager
def _ray(host: str) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """A Ray head that begins, the port of its clients, and the file with what it says."""
    probes = [socket.create_server((host, 0)) for _ in range(2)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: sockets lie in it
    line = (
        f"start --head --block --disable-usage-stats --node-ip-address={host} --port={ports[0]} "
        f"--ray-client-server-port={ports[1]} "
        f"--num-cpus=1 --include-dashboard=false --object-store-memory=100000000 --temp-dir={folder}"
    )
    argv = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *line.split()]
    environ = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "120"}
    output = folder / "said"
    with (
        output.open("wb") as file,
        subprocess.Popen(argv, env=environ, stdout=file, stderr=file, start_new_session=True) as process,
    ):
        try:
            yield process, ports[1], output
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


OTHER_VERSION = "2.55.1"  # of Ray, in the image


@pytest.mark.slow
def test_a_cluster_that_does_not_fit_is_refused_before_anything_starts(folder: Folder, cluster: str) -> None:
    write(folder.path, "")
    assert ray_version() != OTHER_VERSION
    refused = folder.up("stack.yaml", f"+ray_head_node_address={cluster}", f"+ray.version={OTHER_VERSION}")
    assert refused.returncode == 2, refused.stderr
    message = " ".join(refused.stderr.split())
    assert f"the cluster at {cluster} has Ray {ray_version()}, but the image gymctl-ray" in message
    assert f"ray: {{version: '{ray_version()}'}}" in message

    dead = f"{cluster.rpartition(':')[0]}:1"
    refused = folder.up("stack.yaml", f"+ray_head_node_address={dead}")
    assert refused.returncode == 2, refused.stderr
    assert f"no Ray cluster at {dead}" in " ".join(refused.stderr.split())
    assert folder.left() == []
    assert not (folder.path / ".gymctl").exists()


def ray_version() -> str:
    return importlib.metadata.version("ray")
