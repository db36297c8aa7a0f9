"""Names of the containers of a stack after an update: those that ``docker compose`` gives at a first start."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from gymctl.engines.docker.containers import Container

if TYPE_CHECKING:
    import docker


_LOG_PREFIX = re.compile(r"(?P<service>\S+)-(?P<number>\d+)(?P<blanks> *)\|")


def without_project(line: str, project: str, services: Collection[str]) -> str:
    """A line of ``docker compose logs`` without the project in its prefix, which Compose leaves in renamed containers.

    >>> without_project("mine-policy-1  | text", "mine", ["policy"])
    'policy-1       | text'
    """
    match = _LOG_PREFIX.match(line)
    begin = f"{project}-"
    if match is None or match["service"] in services or not match["service"].startswith(begin):
        return line
    blanks = match["blanks"] + " " * len(begin)
    return f"{match['service'].removeprefix(begin)}-{match['number']}{blanks}{line[match.end() - 1 :]}"


def take_over_names(client: docker.DockerClient, project: str, containers: Iterable[Container]) -> None:
    """Name the containers of each service from 1 on, as those of a first start are, where a name is free."""
    from docker.errors import APIError

    by_service: dict[str, list[Container]] = {}
    for container in containers:
        by_service.setdefault(container.service, []).append(container)
    for service, there in by_service.items():
        names = [f"{project}-{service}-{number + 1}" for number in range(len(there))]
        free = [name for name in names if name not in {item.name for item in there}]
        for container in sorted(there, key=lambda item: item.name):
            if free and container.name not in names:
                try:
                    client.api.rename(container.id, free.pop(0))
                except APIError:  # gone, or the name belongs to a container of the user's
                    continue
