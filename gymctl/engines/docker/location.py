"""Whether the engine and gymctl see the same files: a stack's secrets, volumes and outputs are files of one machine."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.engines.docker.endpoint import engine_endpoint
from gymctl.errors import EngineError, ErrorCode, InputError

if TYPE_CHECKING:
    import docker

    from gymctl.stack import ServicePlan

_MISSING_SOURCE = re.compile(r"bind source path does not exist: (.+?)(?:;|$)", re.MULTILINE)
# Engines in a virtual machine of this one, which shares its folders with them
_SHARING = ("docker-desktop",)


def check_location(client: docker.DockerClient) -> None:
    """See that the engine is on this machine; a Unix socket always is.

    Raises:
        EngineError: it is on another one.
    """
    endpoint = engine_endpoint(os.environ)
    if endpoint.address.startswith(("unix://", "npipe://")):
        return
    name = str(client.info().get("Name") or "")
    if name in (socket.gethostname(), *_SHARING):
        return
    raise EngineError(
        f"the engine at {endpoint.address} is on another machine ({name}): it cannot access the secrets and outputs "
        "of a stack, which are files on this machine",
        "run gymctl on that machine; or, if it is a manager of a Swarm, use --engine swarm",
        ErrorCode.ENGINE_ELSEWHERE,
    )


def unseen_source(reason: str) -> EngineError | None:
    """The error where an engine cannot mount a path that exists here; None if ``reason`` says something else.

    An engine behind a tunnel, in a virtual machine or in a sandbox (snap) has a name or a socket of this machine, but
    other files.
    """
    match = _MISSING_SOURCE.search(reason)
    if match is None or not os.path.lexists(match[1]):
        return None
    return EngineError(
        f"the engine at {engine_endpoint(os.environ).address} cannot access {match[1]}, which exists on this machine: "
        "the secrets and outputs of a stack are files that the engine must be able to mount",
        "share that directory with the engine, or run gymctl in a directory that the engine can access",
    )


def check_sources(services: Iterable[ServicePlan]) -> None:
    """See that the folders and files that services mount are there: Docker names a path, and not whose it is.

    Raises:
        InputError: one does not exist.
    """
    for service in services:
        for mount in service.volumes:
            if mount.type == "bind" and not Path(mount.source or "").exists():
                message = f"{service.name}: {mount.source}, mounted at {mount.target}, does not exist"
                raise InputError(message, f"create it (mkdir -p {mount.source}), or correct the configuration")
