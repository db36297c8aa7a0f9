"""Which process or container uses a port that the stack publishes."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config.vocabulary import EVERY_INTERFACE_HOSTS
from gymctl.engines.docker.containers import PROJECT, WORKING_DIR
from gymctl.errors import EngineError, ErrorCode

if TYPE_CHECKING:
    import docker


def check_port(client: docker.DockerClient, project: str, host: str, port: int, *, of: str = "head") -> None:
    """See that ``host:port`` is free, or published by this very stack already; ``of`` is the service it is for.

    Raises:
        EngineError: it is in use; the message names the user, if known.
    """
    number = _bind(host, port)
    if number == 0:
        return
    owner = _container(client, host, port)
    if owner is not None and owner["Labels"].get(PROJECT) == project:
        return
    if number == errno.EACCES:
        message = f"port {port} on {host} cannot be opened by this user"
        raise EngineError(message, _another(host, port, of), ErrorCode.PORT_NOT_ALLOWED)
    if owner is not None:
        who = _describe(owner)
    else:
        who = _process(port)
    message = f"port {port} on {host} is already used by {who}"
    raise EngineError(message, _another(host, port, of), ErrorCode.PORT_IN_USE)


def _bind(host: str, port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            # an address of another machine (a remote engine): only that engine can say
            if error.errno == errno.EADDRNOTAVAIL:
                return 0
            return error.errno or errno.EADDRINUSE
    return 0


def _another(host: str, port: int, of: str) -> str:
    free = next((other for other in range(max(port, 1024) + 1, 65536) if _bind(host, other) == 0), None)
    if of == "head":
        setting = f"+head_server.port={free}"
    else:
        setting = f"port: {free} for {of}"
    if free:
        return f"stop it, or choose another port: {setting}"
    return "stop that"


def _container(client: docker.DockerClient, host: str, port: int) -> dict[str, dict[str, str]] | None:
    for container in client.api.containers():
        for published in container.get("Ports") or ():
            if published.get("PublicPort") == port and published.get("IP") in (host, *EVERY_INTERFACE_HOSTS, None):
                details: dict[str, dict[str, str]] = container
                return details
    return None


def _describe(container: dict[str, dict[str, str]]) -> str:
    labels = container["Labels"]
    name = (container.get("Names") or ["?"])[0].lstrip("/")  # type: ignore[index]
    if PROJECT not in labels:
        return f"the container {name}"
    return f"the container {name} of the stack {labels[PROJECT]} in {labels.get(WORKING_DIR, '?')}"


def _process(port: int) -> str:
    """The process that listens on a port, as far as this user can read it from /proc."""
    inodes = {f"socket:[{inode}]" for name in ("tcp", "tcp6") for inode in _listening(Path("/proc/net") / name, port)}
    for link in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        try:
            if str(link.readlink()) in inodes:
                process = link.parent.parent
                return f"process {process.name} ({(process / 'comm').read_text().strip()})"
        except OSError:
            continue  # ended, or another user's
    return "another process"


def _listening(table: Path, port: int) -> list[str]:
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port]
