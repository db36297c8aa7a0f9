"""The machines of a Swarm, as its manager knows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gymctl.engines.docker.daemon import connect
from gymctl.engines.docker.requirements import check_engine
from gymctl.engines.protocol import Node
from gymctl.errors import EngineError, ErrorCode, InputError

if TYPE_CHECKING:
    import docker


def parse_node(listed: Mapping[str, Any]) -> Node:
    """A node of the API's ``GET /nodes``."""
    spec = listed["Spec"]
    status = listed["Status"]
    manager = listed.get("ManagerStatus") or {}
    return Node(
        id=listed["ID"],
        name=listed["Description"]["Hostname"],
        role=spec["Role"],
        state=status["State"],
        availability=spec["Availability"],
        address=status.get("Addr", ""),
        message=status.get("Message", ""),
        leader=bool(manager.get("Leader")),
        labels=spec.get("Labels") or {},
    )


def find_nodes(client: docker.DockerClient) -> list[Node]:
    """Every node, managers first, then by name."""
    nodes = (parse_node(listed) for listed in client.api.nodes())
    return sorted(nodes, key=lambda node: (node.role != "manager", node.name))


def check_manager(client: docker.DockerClient) -> None:
    """See that the engine is a manager of a Swarm.

    Raises:
        EngineError: it is in none, is locked, or is a worker; with what to do.
    """
    problem = swarm_problem(client.info().get("Swarm") or {})
    if problem is not None:
        raise problem


def new_enough_manager() -> docker.DockerClient:
    """A client of the engine that ``docker`` uses, which is a manager and new enough for a stack.

    Raises:
        EngineError: it is not.
    """
    client = connect("")
    check_engine(client)
    check_manager(client)
    return client


def swarm_problem(swarm: Mapping[str, Any]) -> EngineError | None:
    """Why a stack cannot be deployed through an engine, from the part ``Swarm`` of its ``GET /info``."""
    state = swarm.get("LocalNodeState", "inactive")
    if state == "inactive":
        hint = (
            "create one with docker swarm init (and run the `docker swarm join` command that it "
            "prints on other machines)"
        )
        return EngineError("this Docker engine is not part of a Swarm", hint, ErrorCode.NO_SWARM)
    if state == "locked":
        return EngineError("this Docker engine's Swarm is locked", "unlock it: docker swarm unlock")
    if state != "active":
        return EngineError(f"this Docker engine's Swarm is {state}: {swarm.get('Error') or 'no reason given'}")
    if not swarm.get("ControlAvailable"):
        managers = ", ".join(peer["Addr"].rpartition(":")[0] for peer in swarm.get("RemoteManagers") or ())
        hint = f"run gymctl on a manager{f' ({managers})' if managers else ''}, or point DOCKER_HOST at one"
        message = "this Docker engine is a worker of its Swarm, but stacks need a manager"
        return EngineError(message, hint, ErrorCode.NOT_A_MANAGER)
    return None


def find_node(client: docker.DockerClient, name: str) -> Node:
    """The node of that name or id.

    Raises:
        InputError: there is none, or several have that name.
    """
    nodes = find_nodes(client)
    matches = [node for node in nodes if name in (node.name, node.id)]
    if not matches:
        raise InputError(f"the Swarm has no node {name!r}", f"nodes: {', '.join(node.name for node in nodes)}")
    if len(matches) > 1:
        ids = ", ".join(f"{node.id} ({node.state})" for node in matches)
        raise InputError(f"{len(matches)} nodes are named {name}", f"give the id: {ids}")
    return matches[0]


def set_availability(client: docker.DockerClient, node: Node, availability: str) -> None:
    """Have a node take new tasks (``active``), none (``pause``), or give up those it has too (``drain``)."""
    inspected = client.api.inspect_node(node.id)
    spec = {**inspected["Spec"], "Availability": availability}
    client.api.update_node(node.id, inspected["Version"]["Index"], spec)
