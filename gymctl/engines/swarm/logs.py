"""The log lines of a stack's services, from whichever nodes they run on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from gymctl.config.terminal_text import plain
from gymctl.engines.docker.log_drivers import ServiceLog, readable_services
from gymctl.engines.runner import OnLine, background
from gymctl.engines.swarm.tasks import find_services

if TYPE_CHECKING:
    import docker


def services_to_read(
    client: docker.DockerClient, stack: str, servers: Mapping[str, str], on_line: OnLine
) -> dict[str, str]:
    """Those of ``servers`` (names by service) whose lines Docker can read back; ``on_line`` gets a line on the others.

    Raises:
        EngineError: the lines of none of them can be read back.
    """
    logs = []
    for service in find_services(client, stack).values():
        if service.name in servers:
            driver = service.spec["TaskTemplate"].get("LogDriver") or {}
            log = ServiceLog(
                service=service.name,
                name=servers[service.name],
                driver=driver.get("Name") or "",
                options=driver.get("Options") or {},
            )
            logs.append(log)
    unreadable = {log.service for log in logs if not log.is_readable}
    readable_services(logs, on_line)
    return {service: name for service, name in servers.items() if service not in unreadable}


def stream_logs(
    stack: str, servers: Mapping[str, str], on_line: OnLine, *, follow: bool, tail: int | None, since: str
) -> None:
    """Pass on the lines of each server, without terminal control sequences; one begins with ``server.replica@node``.

    ``servers`` has the names of the servers by their services.
    """
    options = ["--no-task-ids"]
    if follow:
        options += ["--follow"]
    if tail is not None:
        options += ["--tail", str(tail)]
    if since:
        options += ["--since", since]

    def with_name(service: str, name: str) -> OnLine:
        """A function that passes on a service's lines, beginning with ``name`` in place of Swarm's own name."""
        prefix = f"{stack}_{service}"

        def pass_on(line: str) -> None:
            """Pass on one line."""
            text = plain(line)
            on_line(f"{name}{text.removeprefix(prefix)}" if text.startswith(prefix) else text)

        return pass_on

    with ExitStack() as running:
        commands = []
        for service, name in servers.items():  # one command shows one service
            argv = ["docker", "service", "logs", *options, f"{stack}_{service}"]
            commands.append(running.enter_context(background(argv, on_line=with_name(service, name))))
            if not follow:
                commands[-1].wait()
        for command in commands:
            command.wait()
