"""Conflicts with a new stack: other networks, containers and stacks with its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config.vocabulary import DEFAULT_NETWORK
from gymctl.engines.docker.containers import PROJECT, Container
from gymctl.errors import EngineError, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    import docker

    from gymctl.stack import StackPlan

_ANOTHER_NAME = "or give this stack another name: --name NAME"


def check_directory(containers: Iterable[Container], name: str, directory: Path) -> None:
    """See that the stack ``name`` is not another directory's; links are followed.

    Raises:
        EngineError: it is.
    """
    for container in containers:
        if not container.directory or Path(container.directory).resolve() == directory:
            continue
        hint = f"run `gymctl down` there, {_ANOTHER_NAME}"
        message = f"the stack name {name} is in use by {container.directory}"
        if not Path(container.directory).is_dir():
            message += ", a directory that no longer exists"
            hint = f"remove that stack: docker compose --project-name {name} down, {_ANOTHER_NAME}"
        raise EngineError(message, hint, ErrorCode.STACK_NAME_IN_USE)


def check_leftovers(client: docker.DockerClient, plan: StackPlan) -> None:
    """See that no network or container of a name that Compose will use belongs to something else.

    Raises:
        EngineError: one does, with the command that removes it.
    """
    for network in _networks_of_others(client, plan):
        message = f"a network {network} of another stack exists"
        raise EngineError(message, f"remove it: docker network rm {network}, {_ANOTHER_NAME}")
    numbered = ((service.name, number + 1) for service in plan.services for number in range(service.replicas))
    names = {f"/{plan.name}-{name}-{number}" for name, number in numbered}
    for container in client.api.containers(all=True):
        taken = names & set(container.get("Names") or ())
        if taken and container["Labels"].get(PROJECT) != plan.name:
            name = min(taken).removeprefix("/")
            message = f"a container {name} of another stack exists"
            raise EngineError(message, f"remove it: docker rm -f {name}, {_ANOTHER_NAME}")


def _networks_of_others(client: docker.DockerClient, plan: StackPlan) -> list[str]:
    """Networks with names that Compose will use, or used in earlier versions, that are not of this stack."""
    joined = {name for service in plan.services for name in service.stack_networks}
    names = sorted(f"{plan.name}_{name}" for name in joined | {DEFAULT_NETWORK})
    listed = client.api.networks(names=names)
    others = {item["Name"] for item in listed if (item.get("Labels") or {}).get(PROJECT) != plan.name}
    return [name for name in names if name in others]
