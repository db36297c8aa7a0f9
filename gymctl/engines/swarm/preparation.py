"""What is checked and noted before a stack is rendered and deployed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config.wording import listing
from gymctl.engines.docker.daemon import connect
from gymctl.engines.state import find_own_state
from gymctl.engines.swarm.nodes import find_nodes
from gymctl.engines.swarm.tasks import NAMESPACE, find_services
from gymctl.errors import EngineError, ErrorCode
from gymctl.stack.swarm.stack_file import has_encrypted_networks
from gymctl.stack.swarm.translation import ENCRYPTED

if TYPE_CHECKING:
    import docker

    from gymctl.stack import StackPlan


def check_names(client: docker.DockerClient, directory: Path, name: str) -> None:
    """Check that ``directory`` has no other stack, and that no other directory has a stack of this name.

    Raises:
        EngineError: the directory or the name is in use.
    """
    before = find_own_state(directory, "swarm")
    if before is not None and before.name != name and find_services(client, before.name):
        raise EngineError(f"this directory already runs the stack {before.name}", "stop it first: gymctl down")
    if before is None and find_services(client, name):
        raise EngineError(
            f"the stack name {name} is in use on this Swarm",
            f"choose another name with --name NAME, or remove the other stack: docker stack rm {name}",
            ErrorCode.STACK_NAME_IN_USE,
        )


def check_networks(client: docker.DockerClient, plan: StackPlan) -> None:
    """Check that the networks of a running stack have the encryption that its new version needs.

    Raises:
        EngineError: one has not; Docker cannot change a network.
    """
    if not has_encrypted_networks(plan):
        return
    for network in client.api.networks(filters={"label": f"{NAMESPACE}={plan.name}"}):
        if ENCRYPTED not in (network.get("Options") or {}):
            message = f"the network {network['Name']} of the running stack is not encrypted, as edge needs it to be"
            raise EngineError(message, "run gymctl down, then gymctl up: Docker cannot change a network")


def distribution_notes(*, registry: str, hosts: Sequence[str]) -> tuple[str, ...]:
    """A note if other nodes may run tasks but would not get the images."""
    others = [node.name for node in find_nodes(connect("")) if node.usable and not node.leader]
    if registry or hosts or not others:
        return ()
    return (
        f"the images are on this node only, but servers may also run on {listing(others)}: "
        "--registry HOST/PREFIX pushes them, --host ssh://USER@NODE (repeated) copies them there",
    )
