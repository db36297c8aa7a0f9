"""Deploy a stack to a Swarm, wait for it, and roll it back on failure."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.engines.compose.watch import ServerFailed
from gymctl.engines.protocol import Node, OnServer
from gymctl.engines.runner import CommandFailed, run
from gymctl.engines.swarm.remove import sweep
from gymctl.engines.swarm.tasks import SwarmService, Task, find_services, find_tasks
from gymctl.engines.swarm.watch import DeployWatch
from gymctl.errors import EngineError

if TYPE_CHECKING:
    import docker

_ROLLBACK_S = 120.0
_POLL_S = 0.5


def deploy(
    client: docker.DockerClient,
    stack: str,
    file: Path,
    servers: Mapping[str, str],
    earlier: Mapping[str, SwarmService],
    *,
    timeout: float,
    on_event: OnServer,
) -> None:
    """Deploy a stack file and wait until every server is healthy; then remove what the stack no longer has.

    ``servers`` has the names of the servers by their services, ``earlier`` the services that the stack has already.
    With any, every server is restored if one fails, or if Docker rejects the file halfway.

    Raises:
        ServerFailed: a server failed to start; ``rolled_back`` is true if the stack is as before.
        EngineError: Docker refuses the file.
    """
    known = {task.id for task in find_tasks(client, stack)}
    argv = ["docker", "stack", "deploy", "--detach=true", "--resolve-image", "never", "--with-registry-auth"]
    try:
        run([*argv, "--compose-file", file.name, stack], cwd=file.parent, timeout=300)
    except CommandFailed as error:
        refused = f"Docker rejected the stack: {_last_error(error)}"
        if not earlier:
            raise EngineError(refused, "to clean up: gymctl down") from error
        back = not _take_back(client, stack, earlier) or _until_as_before(client, stack, earlier)
        raise EngineError(f"{refused}; {_how(back)}") from error
    _watch(client, stack, DeployWatch(client, stack, servers, on_event, known), earlier, timeout=timeout)
    sweep(client, stack, tuple(servers))


def update_services(
    client: docker.DockerClient,
    stack: str,
    start: Callable[[], object],
    servers: Mapping[str, str],
    earlier: Mapping[str, SwarmService],
    *,
    timeout: float,
    on_event: OnServer,
) -> None:
    """Change services of a running stack, and wait until they are healthy; restore all if one fails.

    Args:
        client: of the manager.
        stack: the name of the stack.
        start: what updates the services.
        servers: names of the servers by the services that change.
        earlier: all services of the stack before.
        timeout: seconds.
        on_event: takes the states of servers.

    Raises:
        ServerFailed: a server failed to start; ``rolled_back`` is true if the stack is as before.
        CommandFailed: an update was refused; the stack is as before.
    """
    known = {task.id for task in find_tasks(client, stack)}
    try:
        start()
    except CommandFailed:
        _take_back(client, stack, earlier)
        raise
    _watch(client, stack, DeployWatch(client, stack, servers, on_event, known), earlier, timeout=timeout)


def _watch(
    client: docker.DockerClient, stack: str, watch: DeployWatch, earlier: Mapping[str, SwarmService], *, timeout: float
) -> None:
    """Wait until the servers are healthy; with ``earlier`` services, restore these if one fails."""
    try:
        watch.until_healthy(timeout)
    except ServerFailed as failure:
        if not earlier:
            raise
        _take_back(client, stack, earlier)
        back = _until_as_before(client, stack, earlier)
        reason = f"{failure.reason}; {_how(back)}"
        command = f"gymctl logs {shlex.quote(failure.server)}"
        raise ServerFailed(failure.server, reason, failure.lines, command, rolled_back=back) from failure


def _last_error(error: CommandFailed) -> str:
    lines = [line.strip() for line in error.output.splitlines() if line.strip()]
    if lines:
        return lines[-1].removeprefix("Error response from daemon: ")
    return "there was no output"


def _take_back(client: docker.DockerClient, stack: str, earlier: Mapping[str, SwarmService]) -> bool:
    """Have each server that was there before be what it was, and new ones go; returns whether anything had changed."""
    changed = False
    for name, service in find_services(client, stack).items():
        if name not in earlier:
            run(["docker", "service", "rm", f"{stack}_{name}"], check=False, timeout=60)
        elif service.spec == earlier[name].spec:
            continue
        elif not service.update.startswith("rollback"):
            run(["docker", "service", "rollback", "--detach", f"{stack}_{name}"], check=False, timeout=60)
        changed = True
    return changed


def _how(back: bool) -> str:
    if back:
        return "the previous version of the stack is running"
    return "rollback is still in progress; check `gymctl status`"


def _until_as_before(client: docker.DockerClient, stack: str, earlier: Mapping[str, SwarmService]) -> bool:
    deadline = time.monotonic() + _ROLLBACK_S
    while time.monotonic() < deadline:
        services = find_services(client, stack)
        tasks = find_tasks(client, stack)
        if all(_is_as_before(services.get(name), service, tasks) for name, service in earlier.items()):
            return True
        time.sleep(_POLL_S)
    return False


def _is_as_before(now: SwarmService | None, before: SwarmService, tasks: Sequence[Task]) -> bool:
    if now is None or (now.template, now.replicas) != (before.template, before.replicas):
        return False
    running = 0
    for task in tasks:
        if task.service == before.name and task.is_desired:
            if not now.made(task):
                return False
            running += task.runs
    return running == before.replicas


def scale(
    client: docker.DockerClient,
    stack: str,
    counts: Mapping[str, int],
    *,
    titles: Mapping[str, str],
    timeout: float,
    on_event: OnServer,
) -> None:
    """Set the replica count of each service, and wait until they are healthy.

    ``titles`` has the names of the servers by their services.

    Raises:
        ServerFailed: they are not.
    """
    known = {task.id for task in find_tasks(client, stack)}
    for name, count in counts.items():
        run(["docker", "service", "scale", "--detach", f"{stack}_{name}={count}"], timeout=60)
    DeployWatch(client, stack, {name: titles[name] for name in counts}, on_event, known).until_healthy(timeout)


def move_away(
    client: docker.DockerClient,
    stack: str,
    node: Node,
    *,
    titles: Mapping[str, str],
    timeout: float,
    on_event: OnServer,
) -> tuple[str, ...]:
    """Have every server with a task on ``node`` start new ones elsewhere before the old ones end; returns the servers.

    The node must take no new tasks. ``titles`` has the names of the servers by their services.

    Raises:
        ServerFailed: a server finds no other node, or does not come up there.
    """
    tasks = find_tasks(client, stack)
    servers = tuple(dict.fromkeys(task.service for task in tasks if task.node_id == node.id and task.is_desired))
    for name in servers:
        argv = ["docker", "service", "update", "--force", "--detach", "--no-resolve-image", f"{stack}_{name}"]
        run(argv, timeout=60)
    moving = {name: titles.get(name, name) for name in servers}
    DeployWatch(client, stack, moving, on_event, {task.id for task in tasks}).until_healthy(timeout)
    return tuple(moving.values())
