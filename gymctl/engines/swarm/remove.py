"""Take a stack off its Swarm, and what a deployment left behind."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymctl.engines.own_folder import clear_folder
from gymctl.engines.protocol import Removed
from gymctl.engines.runner import run
from gymctl.engines.state import StackState
from gymctl.engines.swarm.tasks import NAMESPACE
from gymctl.errors import EngineError
from gymctl.stack.labels import JOB, STACK

if TYPE_CHECKING:
    import docker

_POLL_S = 0.5
_LONGEST_S = 180.0  # the longest grace period of ours, and as much again


def remove_stack(client: docker.DockerClient, directory: Path, state: StackState, *, volumes: bool) -> Removed:
    """Remove jobs, services, networks, secrets and configs of a stack, then what the directory holds.

    Returns when everything has been removed, so that another ``up`` finds nothing.

    Raises:
        EngineError: something stays.
    """
    jobs = client.api.containers(all=True, filters={"label": [f"{STACK}={state.name}", JOB]})
    for job in jobs:
        _quietly(client.api.remove_container, job["Id"], force=True)
    tasks = [task for task in _tasks(client, state.name) if task["Status"]["State"] in ("running", "starting")]
    run(["docker", "stack", "rm", state.name], check=False, timeout=120)
    _until_gone(client, state.name)
    notes = [
        *_left_ondead_nodes(client, state.name),
        *_remove_files(directory, state),
        *(_volumes(client, state.name) if volumes else ()),
    ]
    clear_folder(directory)
    return Removed(state.name, len(jobs) + len(tasks), tuple(notes))


def _until_gone(client: docker.DockerClient, stack: str) -> None:
    """Tasks end in their own time, and networks cannot go before them."""
    deadline = time.monotonic() + _LONGEST_S
    while left := _left(client, stack):
        if time.monotonic() > deadline:
            raise EngineError(
                f"the stack {stack} is not removed yet: {', '.join(left[:5])} remain", "see docker stack ps"
            )
        for kind, listed, remove in _stored(client, stack):
            for item in listed if kind != "services" else ():
                with suppress(EngineError):
                    _quietly(remove, item["ID"] if "ID" in item else item["Id"])
        time.sleep(_POLL_S)


def _left(client: docker.DockerClient, stack: str) -> list[str]:
    left = [f"{kind} {_name(item)}" for kind, listed, _ in _stored(client, stack) for item in listed]
    dead = dead_nodes(client)  # its tasks cannot be ended, nor reported as ended
    return left + [f"task {task['ID']}" for task in _tasks(client, stack) if task.get("NodeID") not in dead]


def dead_nodes(client: docker.DockerClient) -> dict[str, str]:
    """The names of nodes that do not answer, by id."""
    return {
        node["ID"]: node["Description"]["Hostname"]
        for node in client.api.nodes()
        if node["Status"]["State"] in ("down", "disconnected")
    }


def _left_ondead_nodes(client: docker.DockerClient, stack: str) -> Iterator[str]:
    dead = dead_nodes(client)
    names = {dead[task["NodeID"]] for task in _tasks(client, stack) if task.get("NodeID") in dead}
    if names:
        yield f"{', '.join(sorted(names))} does not respond; its containers stop when it is back"


def _tasks(client: docker.DockerClient, stack: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = client.api.tasks(filters={"label": f"{NAMESPACE}={stack}"})
    return tasks


def _stored(client: docker.DockerClient, stack: str) -> Iterator[tuple[str, Any, Callable[..., Any]]]:
    """Objects of a stack other than tasks: kind, existing ones, how to remove one."""
    api = client.api
    filters = {"label": f"{NAMESPACE}={stack}"}
    yield "services", api.services(filters=filters), api.remove_service
    yield "networks", api.networks(filters=filters), api.remove_network
    yield "secrets", api.secrets(filters=filters), api.remove_secret
    yield "configs", api.configs(filters=filters), api.remove_config


def _name(item: dict[str, Any]) -> str:
    return str(item.get("Name") or item["Spec"]["Name"])


def _quietly(remove: Callable[..., object], identity: str, **options: bool) -> None:
    """Remove what may already have been removed, or may still be in use for a moment."""
    from docker.errors import APIError

    with suppress(APIError):
        remove(identity, **options)


def _volumes(client: docker.DockerClient, stack: str) -> Iterator[str]:
    filters = {"label": f"{NAMESPACE}={stack}"}
    for volume in client.api.volumes(filters=filters)["Volumes"] or ():
        _quietly(client.api.remove_volume, volume["Name"])
    others = [node for node in client.api.nodes() if not (node.get("ManagerStatus") or {}).get("Leader")]
    if others:
        yield f"volumes of {stack} on other nodes are not removed; use docker volume rm there"


def _remove_files(directory: Path, state: StackState) -> Iterator[str]:
    for name in state.files:
        (directory / name).unlink(missing_ok=True)
    file = directory / state.compose_file
    if not file.is_file():
        return
    if hashlib.sha256(file.read_bytes()).hexdigest() != state.compose_digest:
        yield f"{file.name} was changed after rendering; it is not removed"
    else:
        file.unlink()


def sweep(client: docker.DockerClient, stack: str, servers: Collection[str]) -> None:
    """After a deployment: services of removed servers, and unused secrets and configs.

    What a rollback would need (a service's previous definition) stays.
    """
    services = client.api.services(filters={"label": f"{NAMESPACE}={stack}"})
    used: set[str] = set()
    for service in services:
        if service["Spec"]["Name"].removeprefix(f"{stack}_") not in servers:
            _quietly(client.api.remove_service, service["ID"])
            continue
        for spec in (service["Spec"], service.get("PreviousSpec") or {}):
            container = spec.get("TaskTemplate", {}).get("ContainerSpec", {})
            used |= {item["SecretID"] for item in container.get("Secrets") or ()}
            used |= {item["ConfigID"] for item in container.get("Configs") or ()}
    for kind, listed, remove in _stored(client, stack):
        for item in listed if kind in ("secrets", "configs") else ():
            if item["ID"] not in used:
                _quietly(remove, item["ID"])
