"""The services and tasks of a stack, as the Swarm's manager knows them at this moment.

A task is one container that was, is, or will be; a replica's tasks follow each other in its slot. With a health check,
a task is ``running`` only once it is healthy (``starting`` before).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker

NAMESPACE = "com.docker.stack.namespace"
_GIVEN_UP = ("shutdown", "remove", "complete")


@dataclass(frozen=True)
class Task:
    """One task. ``service`` is the server's name; ``created`` and ``changed`` are times in Docker's text.

    ``node`` is the name of its node, for people: another may have it too, or the same machine after it rejoined.
    """

    id: str
    service: str
    slot: int
    node: str
    state: str
    desired: str
    created: str
    changed: str
    error: str = ""
    message: str = ""
    exit_code: int = 0
    node_id: str = ""
    template: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_desired(self) -> bool:
        """Whether its desired state is running (or about to run)."""
        return self.desired not in _GIVEN_UP

    @property
    def runs(self) -> bool:
        """Whether it is healthy and its desired state is running."""
        return self.is_desired and self.state == "running"

    @property
    def failed(self) -> bool:
        """Whether it ended badly, or could not even start."""
        return self.state in ("failed", "rejected")


@dataclass(frozen=True)
class SwarmService:
    """A server's service. ``update`` is the state of its latest update (empty without one), ``said`` what it said.

    ``spec`` is its whole definition; ``template`` what of it makes Swarm replace tasks.
    """

    id: str
    name: str
    replicas: int
    version: int
    update: str = ""
    update_message: str = ""
    template: Mapping[str, Any] = field(default_factory=dict, repr=False)
    previous: Mapping[str, Any] | None = field(default=None, repr=False)
    spec: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def made(self, task: Task) -> bool:
        """Whether a task is of the present definition, not of an earlier one."""
        return task.template == self.template


def find_services(client: docker.DockerClient, stack: str) -> dict[str, SwarmService]:
    """A stack's services by the names of its servers."""
    listed = client.api.services(filters={"label": f"{NAMESPACE}={stack}"})
    services = (parse_service(item, stack) for item in listed)
    return {service.name: service for service in services}


def find_tasks(client: docker.DockerClient, stack: str) -> list[Task]:
    """All tasks of a stack that the Swarm still knows (five per slot by default), oldest first."""
    services = {service.id: service.name for service in find_services(client, stack).values()}
    nodes = {node["ID"]: node["Description"]["Hostname"] for node in client.api.nodes()}
    listed = client.api.tasks(filters={"label": f"{NAMESPACE}={stack}"})
    tasks = (parse_task(item, services, nodes) for item in listed if item["ServiceID"] in services)
    return sorted(tasks, key=lambda task: (task.service, task.slot, task.created))


def parse_service(listed: Mapping[str, Any], stack: str) -> SwarmService:
    """A service of the API's ``GET /services``."""
    spec = listed["Spec"]
    update = listed.get("UpdateStatus") or {}
    before = listed.get("PreviousSpec")
    mode = spec["Mode"]
    return SwarmService(
        id=listed["ID"],
        name=spec["Name"].removeprefix(f"{stack}_"),
        replicas=(mode.get("Replicated") or {}).get("Replicas", 1),
        version=listed["Version"]["Index"],
        update=update.get("State", ""),
        update_message=update.get("Message", ""),
        template=definition(spec["TaskTemplate"]),
        previous=definition(before["TaskTemplate"]) if before else None,
        spec=spec,
    )


def parse_task(listed: Mapping[str, Any], services: Mapping[str, str], nodes: Mapping[str, str]) -> Task:
    """A task of the API's ``GET /tasks``; ``services`` and ``nodes`` are names by id."""
    status = listed["Status"]
    node = listed.get("NodeID", "")
    return Task(
        id=listed["ID"],
        service=services[listed["ServiceID"]],
        slot=listed.get("Slot", 0),
        node=nodes.get(node, node[:12]),
        state=status["State"],
        desired=listed["DesiredState"],
        created=listed["CreatedAt"],
        changed=status["Timestamp"],
        error=status.get("Err", ""),
        message=status.get("Message", ""),
        node_id=node,
        exit_code=(status.get("ContainerStatus") or {}).get("ExitCode", 0),
        template=definition(listed["Spec"]),
    )


def definition(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of a task's specification makes Swarm replace the task when it changes (its placement alone does not)."""
    keys = ("ContainerSpec", "Resources", "ForceUpdate", "LogDriver")
    return {key: template[key] for key in keys if template.get(key)}
