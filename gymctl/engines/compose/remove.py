"""Take a stack away, whatever state it is in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.engines.compose.command import orphans_command
from gymctl.engines.docker.containers import PROJECT
from gymctl.engines.own_folder import clear_folder
from gymctl.engines.protocol import Removed
from gymctl.engines.runner import CommandFailed, run
from gymctl.engines.state import StackState
from gymctl.stack.labels import JOB, STACK

if TYPE_CHECKING:
    import docker

    from gymctl.stack import StackPlan

# a stack without a file is one whose every service is an orphan
_EMPTY = "services: {}\n"


def remove_stack(
    client: docker.DockerClient,
    directory: Path,
    state: StackState,
    command: Callable[..., list[str]],
    *,
    volumes: bool,
) -> Removed:
    """Remove everything of a stack: jobs, containers, networks, volumes when asked, then what the directory holds.

    ``command(name, *arguments)`` makes a ``docker compose`` command for the directory's file.

    Raises:
        CommandFailed: Compose could not remove something.
    """
    jobs = _containers(client, f"{STACK}={state.name}", JOB)
    for job in jobs:
        _remove(client.api.remove_container, job, force=True)
    count = len(jobs) + len(_containers(client, f"{PROJECT}={state.name}"))
    arguments = ["down", "--remove-orphans", *(["--volumes"] if volumes else [])]
    file = directory / state.compose_file
    try:
        run(command(state.name, *arguments), cwd=directory, timeout=300)
    except CommandFailed:
        # the file is gone or was edited into something that Compose does not take
        run(orphans_command(state.name, *arguments), stdin=_EMPTY, timeout=300)
    _sweep(client, state.name, volumes=volumes)
    notes = _remove_file(file, state.compose_digest)
    clear_folder(directory)
    return Removed(state.name, count, notes)


def _containers(client: docker.DockerClient, *labels: str) -> list[str]:
    return [container["Id"] for container in client.api.containers(all=True, filters={"label": list(labels)})]


def _sweep(client: docker.DockerClient, name: str, *, volumes: bool) -> None:
    """What Compose leaves when its file does not name it (any more)."""
    filters = {"label": f"{PROJECT}={name}"}
    for container in _containers(client, filters["label"]):
        _remove(client.api.remove_container, container, force=True)
    for network in client.api.networks(filters=filters):
        _remove(client.api.remove_network, network["Id"])
    for volume in (client.api.volumes(filters=filters)["Volumes"] or ()) if volumes else ():
        _remove(client.api.remove_volume, volume["Name"])


def remove_unused_networks(client: docker.DockerClient, plan: StackPlan) -> None:
    """Remove the networks of an earlier form of a stack, which Compose leaves; one that is in use stays."""
    from docker.errors import APIError

    names = {f"{plan.name}_{name}" for service in plan.services for name in service.stack_networks}
    for network in client.api.networks(filters={"label": f"{PROJECT}={plan.name}"}):
        if names and network["Name"] not in names:
            with suppress(APIError):
                client.api.remove_network(network["Id"])


def _remove(remove: Callable[..., object], identity: str, **options: bool) -> None:
    from docker.errors import NotFound

    with suppress(NotFound):  # already removed
        remove(identity, **options)


def _remove_file(file: Path, digest: str) -> tuple[str, ...]:
    if not file.is_file():
        return ()
    if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
        return (f"{file.name} was changed after rendering; it is not removed",)
    file.unlink()
    return ()
