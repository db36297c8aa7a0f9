"""The Docker engine: is it there, and a client for it that talks to the same engine as the ``docker`` command."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gymctl.config.vocabulary import LOOPBACK
from gymctl.engines.docker.endpoint import engine_endpoint
from gymctl.engines.docker.requirements import WITHOUT_DOCKER
from gymctl.errors import EngineError, ErrorCode

if TYPE_CHECKING:
    import docker


def connect(without: str = WITHOUT_DOCKER) -> docker.DockerClient:
    """A client of the engine that ``docker`` uses.

    ``without`` ends the hint: the alternative if no engine answers.

    Raises:
        EngineError: nothing answers there, or this user may not talk to it.
    """
    import docker
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    endpoint = engine_endpoint(os.environ)
    try:
        tls = endpoint.tls()
        client = docker.DockerClient(base_url=endpoint.address, tls=tls, timeout=60, use_ssh_client=True)
        client.ping()
    except (DockerException, RequestException, OSError) as error:
        raise _unreachable(endpoint.address, error, without) from error
    return client


def is_on_this_machine(client: docker.DockerClient) -> bool:
    """Whether the engine is reached through a socket of this machine."""
    return any(host in client.api.base_url for host in ("localhost", LOOPBACK))


def engine_socket() -> str:
    """The path of the Unix socket that ``docker`` uses; empty when its engine is reached in another way."""
    return engine_endpoint(os.environ).socket


def _unreachable(address: str, error: BaseException, without: str) -> EngineError:
    number = _errno(error)
    if number in (errno.EACCES, errno.EPERM):
        return EngineError(
            f"this user has no access to the Docker engine at {address}",
            "add the user to the docker group (sudo usermod -aG docker $USER, then log in again)" + without,
            ErrorCode.NO_DOCKER_ACCESS,
        )
    start = "start it (sudo systemctl start docker, or Docker Desktop)"
    if number == errno.ENOENT:
        message = f"no Docker engine at {address}: the socket does not exist"
        return EngineError(message, f"install or {start}{without}", ErrorCode.NO_DOCKER)
    if os.environ.get("DOCKER_HOST"):
        start = "start it, or correct DOCKER_HOST"
    if number:
        reason = os.strerror(number)
    else:
        reason = str(error)
    return EngineError(
        f"no response from a Docker engine at {address}: {reason}", f"{start}{without}", ErrorCode.NO_DOCKER
    )


def _errno(error: BaseException | None) -> int | None:
    """The number of the operating system's error at the bottom; requests and urllib3 wrap it."""
    seen: list[BaseException] = []
    open_ends: list[object] = [error]
    while open_ends:
        item = open_ends.pop()
        if not isinstance(item, BaseException) or item in seen:
            continue
        seen.append(item)
        # requests' exceptions are OSErrors too, without a number
        if isinstance(item, OSError) and isinstance(item.errno, int):
            return item.errno
        open_ends += [*item.args, item.__cause__, item.__context__, getattr(item, "reason", None)]
    return None


@contextmanager
def spoken_errors() -> Iterator[None]:
    """Turn what the SDK raises (the engine stopped in the middle, or refuses something) into an ``EngineError``."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except APIError as error:
        raise EngineError(f"the Docker engine rejected the request: {error.explanation or error}") from error
    except (DockerException, RequestException) as error:
        raise EngineError(f"the Docker engine stopped answering: {error}", "see `docker info`") from error
