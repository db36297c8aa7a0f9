"""Twelve servers: ours as a Compose stack whose images are built, NeMo Gym's as ``ng_run`` starts them, warm."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import machine
from benchmarks.commands import gymctl
from benchmarks.sides import Server, Side, entry, rollout_servers

NAME = "gymctl-bench-twelve"  # of the Compose project
ENVIRONMENTS = 5


def twelve_servers() -> list[Server]:
    """Two models, five resources servers, and an agent for each of these; nothing calls the models here."""
    return servers_of(2 + 2 * ENVIRONMENTS)


def servers_of(count: int) -> list[Server]:
    """One model where the number is odd, two where it is even, and pairs of a resources server and its agent."""
    model, environment, agent = rollout_servers(backend_port=9)
    servers = [model]
    if count % 2 == 0:
        servers.append(Server("judge_model", model.kind, model.implementation, model.fields))
    for number in range((count - len(servers)) // 2):
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
            everyone = stack.family()
            servers = stack.processes()
            seconds = stack.seconds
            return _sample(seconds, everyone, servers)
    with _composed(side) as (seconds, containers):
        time.sleep(1)
        everyone = [pid for root in containers.values() for pid in machine.family(root)]
        servers = [pid for name, root in containers.items() if name != "head" for pid in machine.family(root)]
        return _sample(seconds, everyone, servers)


def prepare(side: Side) -> None:
    """Have images built, and environments made: a first start, which does not count.

    NeMo Gym's servers of one implementation share an environment, and making it for several at once may fail: one each.
    """
    if side.is_upstream:
        with side.running(twelve_servers()[:1] + twelve_servers()[2:4]):
            return
    with _composed(side):
        pass


def _sample(seconds: float, everyone: list[int], servers: list[int]) -> dict[str, float]:
    return {
        "seconds": seconds,
        "memory_mb": machine.memory_mb(everyone),
        "servers_memory_mb": machine.memory_mb(servers),
    }


@contextmanager
def _composed(side: Side) -> Iterator[tuple[float, dict[str, int]]]:
    """A stack that is up: the seconds that took, and each container's first process by service."""
    folder = side.folder / "compose"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stack.yaml").write_text("".join(entry(server) for server in twelve_servers()))
    started = time.monotonic()
    try:
        gymctl(side, folder, "up", "stack.yaml", "--name", NAME, f"+head_server.port={side.port}")
        yield time.monotonic() - started, container_processes(NAME)
    finally:
        gymctl(side, folder, "down")


def container_processes(name: str) -> dict[str, int]:
    """Each container's first process, by service, of a Compose project."""
    label = "com.docker.compose.project"
    ids = _docker("ps", "--quiet", "--filter", f"label={label}={name}").split()
    inspected = json.loads(_docker("inspect", *ids))
    return {item["Config"]["Labels"]["com.docker.compose.service"]: item["State"]["Pid"] for item in inspected}


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout
