"""The log lines of a Compose project's services."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from gymctl.config.terminal_text import plain
from gymctl.engines.compose.container_names import without_project
from gymctl.engines.docker.containers import find_containers
from gymctl.engines.docker.log_drivers import ServiceLog, readable_services
from gymctl.engines.planned_servers import with_server_name
from gymctl.engines.runner import OnLine
from gymctl.engines.state import StackState

if TYPE_CHECKING:
    import docker


def services_to_read(
    client: docker.DockerClient, state: StackState, servers: Collection[str], on_line: OnLine
) -> Sequence[str]:
    """The services to show for ``servers``, for all when there are none; empty: every service.

    ``on_line`` gets a line about the services whose log lines Docker cannot read back.

    Raises:
        EngineError: the lines of none of them can be read back.
    """
    services = [server.service_name for server in state.servers if server.name in servers]
    names = {server.service_name: server.name for server in state.servers}
    logs = {
        container.service: ServiceLog(
            service=container.service,
            name=names.get(container.service, container.service),
            driver=container.log_driver,
            options=dict(container.log_options),
        )
        for container in find_containers(client, state.name)
        if not services or container.service in services
    }
    readable = readable_services(logs.values(), on_line)
    if len(readable) == len(logs):
        return services
    return readable


def readable_line(line: str, state: StackState) -> str:
    """A line of ``docker compose logs`` without terminal control sequences; the name of its server comes first."""
    services = {server.service_name for server in state.servers}
    renamed = {server.service: server.name for server in state.servers if server.service}
    return with_server_name(without_project(plain(line), state.name, services), renamed)
