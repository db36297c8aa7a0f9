"""Twelve servers: ours as a Compose stack whose images are built, NeMo Gym's as ``ng_run`` starts them, warm."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import machine
from benchmarks.sides import REPOSITORY, Server, Side, entry, rollout_servers

NAME = "gymctl-bench-twelve"  # of the Compose project
ENVIRONMENTS = 5


def twelve_servers() -> list[Server]:
    """Two models, five resources servers, and an agent for each of these; nothing calls the models here."""
    model, environment, agent = rollout_servers(backend_port=9)
    servers = [model, Server("judge_model", model.kind, model.implementation, model.fields)]
    for number in range(ENVIRONMENTS):
        own = f"environment_{number}"
        servers.append(Server(own, environment.kind, environment.implementation, environment.fields))
        fields = agent.fields.replace("name: environment", f"name: {own}")
        servers.append(Server(f"agent_{number}", agent.kind, agent.implementation, fields))
    return servers


def start(side: Side) -> dict[str, float]:
    """Start the twelve on one side, look at what they hold, and end them.

    Returns:
        ``seconds`` from the command to the last server's answer (ours: until every container is healthy),
        ``memory_mb`` of everything that was started, ``servers_memory_mb`` of the twelve alone.
    """
    if side.is_upstream:
        with side.running(twelve_servers()) as stack:
            time.sleep(1)
            everyone, servers, seconds = stack.family(), stack.processes(), stack.seconds
            return _sample(seconds, everyone, servers)
    with _composed(side) as (seconds, containers):
        time.sleep(1)
        everyone = [pid for root in containers.values() for pid in machine.family(root)]
        servers = [pid for name, root in containers.items() if name != "head" for pid in machine.family(root)]
        return _sample(seconds, everyone, servers)


def _sample(seconds: float, everyone: list[int], servers: list[int]) -> dict[str, float]:
    return {
        "seconds": seconds,
        "memory_mb": machine.memory_mb(everyone),
        "servers_memory_mb": machine.memory_mb(servers),
    }


def build(side: Side) -> None:
    """Have the images built: a first start, which does not count."""
    with _composed(side):
        pass


@contextmanager
def _composed(side: Side) -> Iterator[tuple[float, dict[str, int]]]:
    """A stack that is up: the seconds that took, and each container's first process by service."""
    folder = side.folder / "compose"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stack.yaml").write_text("".join(entry(server) for server in twelve_servers()))
    started = time.monotonic()
    try:
        _gymctl(side, folder, "up", "stack.yaml", "--name", NAME, f"+head_server.port={side.port}")
        yield time.monotonic() - started, _containers()
    finally:
        _gymctl(side, folder, "down")


def _gymctl(side: Side, folder: Path, *arguments: str) -> None:
    command = [str(side.python), "-c", "from gymctl.cli.main import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"gymctl {arguments[0]} ended with {done.returncode}: {done.stderr[-2000:]}")


def _containers() -> dict[str, int]:
    label = "com.docker.compose.project"
    found = _docker("ps", "--quiet", "--filter", f"label={label}={NAME}").split()
    inspected = json.loads(_docker("inspect", *found))
    return {item["Config"]["Labels"]["com.docker.compose.service"]: item["State"]["Pid"] for item in inspected}


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout
