"""The containers of a Compose project, as the Docker engine sees them at this moment."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gymctl.config.sizes import size_in_words
from gymctl.config.terminal_text import last_lines, plain
from gymctl.engines.protocol import MISSING, ServerStatus
from gymctl.engines.server_address import ServerAddress
from gymctl.stack.labels import COMPLETES, IMPLEMENTATION, TRIES

if TYPE_CHECKING:
    import docker

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
WORKING_DIR = "com.docker.compose.project.working_dir"

_STATES = ("running", "created", "paused", "removing", "restarting", "exited", "dead", MISSING)  # best to worst
_HEALTH = ("healthy", "", "starting", "unhealthy")
_RECENT_S = 300
_REMEMBERED_S = 24 * 3600
_SECONDS = re.compile(r"(\.\d{1,6})\d*")  # Docker gives nanoseconds, Python takes microseconds


@dataclass(frozen=True)
class Container:
    """One container. ``started_at`` is Docker's text (it identifies one run of a container)."""

    id: str
    service: str
    state: str
    health: str
    started_at: str
    directory: str = ""
    image: str = ""
    """Digest of its image's configuration, as Docker identifies it."""
    restarts: int = 0
    exit_code: int = 0
    out_of_memory: bool = False
    memory_limit: int = 0
    """Bytes of memory that it may use; 0: as much as the machine has."""
    error: str = ""
    health_output: str = ""
    completes: bool = False
    tries: int = 1
    log_driver: str = ""
    log_options: Mapping[str, str] = field(default_factory=dict)
    config_digest: str = ""
    """Compose's digest of the service that it was made from."""
    name: str = ""
    implementation: str = ""

    @property
    def done(self) -> bool:
        """Whether it is a one-shot service that has succeeded."""
        return self.completes and self.state == "exited" and self.exit_code == 0

    @property
    def is_well(self) -> bool:
        """Whether it runs and is healthy, or is a one-shot service that has succeeded."""
        if self.completes:
            return self.done
        return self.state == "running" and self.health in ("healthy", "")

    @property
    def memory_reason(self) -> str:
        """Why it ran out of memory, as the end of a sentence."""
        if self.memory_limit:
            return f"out of memory: its limit is {size_in_words(self.memory_limit)} (resources.memory)"
        return "out of memory: this machine ran out of memory (the container has no limit)"

    @property
    def uptime_seconds(self) -> float | None:
        """Seconds since its start, None when it does not run."""
        if self.state == "running":
            return seconds_since(self.started_at)
        return None

    @property
    def badness(self) -> tuple[int, int]:
        """A number to sort by: the worst of a service's containers is how the service is."""
        if self.state in _STATES:
            states = _STATES.index(self.state)
        else:
            states = len(_STATES)
        return states, _HEALTH.index(self.health) if self.health in _HEALTH else 0


def seconds_since(moment: str) -> float:
    """Seconds since a time in Docker's text, 0 when it is in the future."""
    since = datetime.fromisoformat(_SECONDS.sub(r"\1", moment).replace("Z", "+00:00"))
    return max(0.0, (datetime.now(UTC) - since).total_seconds())


def find_containers(client: docker.DockerClient, project: str) -> list[Container]:
    """All containers of a Compose project, running or not; jobs and one-off ``run`` containers are not among them."""
    filters = {"label": [f"{PROJECT}={project}", "com.docker.compose.oneoff=False"]}
    containers = []
    for listed in client.api.containers(all=True, filters=filters):
        inspected = _inspect(client, listed["Id"])
        if inspected is not None:
            containers.append(_parse(inspected))
    return containers


def _inspect(client: docker.DockerClient, identity: str) -> dict[str, Any] | None:
    from docker.errors import NotFound

    try:
        inspected: dict[str, Any] = client.api.inspect_container(identity)
    except NotFound:
        return None  # removed between the list and now
    return inspected


def _parse(inspected: Mapping[str, Any]) -> Container:
    state = inspected["State"]
    labels = inspected["Config"]["Labels"]
    health = state.get("Health") or {}
    checks = health.get("Log") or []
    word = health.get("Status") or ""
    log = inspected.get("HostConfig", {}).get("LogConfig") or {}
    running = state["Status"] == "running"
    return Container(
        id=inspected["Id"],
        service=labels.get(SERVICE, ""),
        state=state["Status"],
        health=word if running and word != "none" else "",
        started_at=state["StartedAt"],
        directory=labels.get(WORKING_DIR, ""),
        image=inspected.get("Image", ""),
        restarts=inspected.get("RestartCount", 0),
        exit_code=state["ExitCode"],
        out_of_memory=bool(state.get("OOMKilled")),
        memory_limit=int(inspected.get("HostConfig", {}).get("Memory") or 0),
        error=plain(state.get("Error") or "").strip(),
        health_output=plain(checks[-1].get("Output") or "").strip() if checks else "",
        completes=labels.get(COMPLETES) == "true",
        tries=int(labels.get(TRIES, 1)),
        log_driver=log.get("Type") or "",
        log_options=log.get("Config") or {},
        config_digest=labels.get("com.docker.compose.config-hash", ""),
        name=inspected["Name"].removeprefix("/"),
        implementation=labels.get(IMPLEMENTATION, ""),
    )


def by_service(containers: Iterable[Container]) -> dict[str, Container]:
    """The worst container of each service."""
    worst: dict[str, Container] = {}
    for container in sorted(containers, key=lambda item: item.badness):
        worst[container.service] = container
    return worst


def server_status(
    server: ServerAddress, containers: Iterable[Container], kills: Mapping[str, int] = MappingProxyType({})
) -> ServerStatus:
    """The status of a server: its worst container, and how many of the requested ones are healthy."""
    identity = (server.name, server.kind, server.implementation)
    mine = [item for item in containers if item.service == server.service_name]
    worst = by_service(mine).get(server.service_name)
    if worst is None:
        return ServerStatus(*identity, MISSING, "", None, server.address, replicas=server.replicas, running=0)
    ended = worst.state in ("exited", "dead", "restarting")
    return ServerStatus(
        *identity,
        "done" if worst.done else worst.state,
        worst.health,
        worst.uptime_seconds,
        server.address,
        sum(item.restarts for item in mine),
        worst.exit_code if ended else None,
        replicas=server.replicas,
        running=sum(item.done or (item.state == "running" and item.health in ("healthy", "")) for item in mine),
        error=_memory_error(mine, kills),
    )


def _memory_error(containers: Iterable[Container], kills: Mapping[str, int]) -> str:
    """What memory did to containers, as the end of a sentence that begins with the server's name; empty: nothing."""
    for container in containers:
        count = max(kills.get(container.id, 0), int(container.out_of_memory))
        if count:
            if count == 1:
                times = ""
            else:
                times = f" {count} times"
            return f"was killed{times}, {container.memory_reason}"
    return ""


def memory_kills(client: docker.DockerClient, containers: Iterable[Container]) -> dict[str, int]:
    """How often each container was killed for its memory, by id, as far back as the engine's events go.

    A container that was restarted has forgotten it.
    """
    suspects = [item.id for item in containers if item.restarts]
    if not suspects:
        return {}
    filters = {"container": suspects, "event": "oom"}
    events = client.api.events(
        since=int(time.time()) - _REMEMBERED_S, until=int(time.time()) + 1, filters=filters, decode=True
    )
    return dict(Counter(event["Actor"]["ID"] for event in events))


def log_tail(client: docker.DockerClient, container: Container, count: int = 20) -> Sequence[str]:
    """The last lines that a container printed."""
    from docker.errors import APIError

    try:
        raw: bytes = client.api.logs(container.id, tail=count, timestamps=False)
    except APIError:  # removed, or a log driver that cannot be read
        return ()
    return last_lines(raw.decode("utf-8", "replace"), count)


def last_exit_code(client: docker.DockerClient, container: Container) -> int | None:
    """The exit code of a container's latest end, from the engine's recent events; None if there is none."""
    now = int(time.time())
    filters = {"container": container.id, "event": "die"}
    events = client.api.events(since=now - _RECENT_S, until=now + 1, filters=filters, decode=True)
    codes = [event["Actor"]["Attributes"].get("exitCode", "") for event in events]
    if codes and codes[-1].isdigit():
        return int(codes[-1])
    return None
