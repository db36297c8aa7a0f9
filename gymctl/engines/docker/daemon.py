"""The Docker engine: is it there, and a client for it that talks to the same engine as the ``docker`` command."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gymctl.config.vocabulary import LOOPBACK
from gymctl.engines.runner import CommandFailed, run
from gymctl.errors import EngineError

if TYPE_CHECKING:
    import docker

WITHOUT_DOCKER = ", or do without Docker: gymctl up --engine local"
_DEFAULT = "unix:///var/run/docker.sock"
_COMMANDS = (
    (("docker", "--version"), "the docker command", "docker-ce-cli (Debian: docker-cli)"),
    (("docker", "compose", "version"), "the Compose plugin", "docker-compose-plugin (Debian: docker-compose)"),
    (("docker", "buildx", "version"), "the buildx plugin", "docker-buildx-plugin (Debian: docker-buildx)"),
)


def connect(without: str = WITHOUT_DOCKER) -> docker.DockerClient:
    """A client of the engine that ``docker`` uses: ``DOCKER_HOST``, else the current context, else the default socket.

    ``without`` ends the hint: what else there is to do where no engine answers.

    Raises:
        EngineError: nothing answers there, or this user may not talk to it.
    """
    import docker
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    address = "DOCKER_HOST"
    try:
        if os.environ.get("DOCKER_HOST"):
            address = os.environ["DOCKER_HOST"]
            client = docker.from_env(timeout=60, use_ssh_client=True)
        else:
            address, tls = _endpoint()
            client = docker.DockerClient(base_url=address, tls=tls, timeout=60, use_ssh_client=True)
        client.ping()
    except (DockerException, RequestException, OSError) as error:
        raise _unreachable(address, error, without) from error
    return client


def is_on_this_machine(client: docker.DockerClient) -> bool:
    """Whether the engine is reached through a socket of this machine."""
    return any(host in client.api.base_url for host in ("localhost", LOOPBACK))


def engine_socket() -> str:
    """The path of the Unix socket that ``docker`` uses; empty when its engine is reached in another way."""
    address = os.environ.get("DOCKER_HOST") or _endpoint()[0]
    return address.removeprefix("unix://") if address.startswith("unix://") else ""


def _endpoint() -> tuple[str, object]:
    from docker.context import ContextAPI

    context = ContextAPI.get_current_context()
    if context is None or not context.Host:
        return _DEFAULT, None
    # the SDK spells the default socket http+unix://
    return context.Host.replace("http+unix://", "unix://"), context.TLSConfig


def _unreachable(address: str, error: BaseException, without: str) -> EngineError:
    number = _errno(error)
    if number in (errno.EACCES, errno.EPERM):
        return EngineError(
            f"this user may not talk to the Docker engine at {address}",
            "add the user to its group (sudo usermod -aG docker $USER, then log in again)" + without,
        )
    start = "start it (sudo systemctl start docker, or Docker Desktop)"
    if number == errno.ENOENT:
        return EngineError(f"no Docker engine at {address}: there is no such socket", f"install or {start}{without}")
    if os.environ.get("DOCKER_HOST"):
        start = "start it, or correct DOCKER_HOST"
    reason = os.strerror(number) if number else str(error)
    return EngineError(f"no Docker engine answers at {address}: {reason}", f"{start}{without}")


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
        raise EngineError(f"the Docker engine refuses: {error.explanation or error}") from error
    except (DockerException, RequestException) as error:
        raise EngineError(f"the Docker engine stopped answering: {error}", "see `docker info`") from error


def check_commands(without: str = WITHOUT_DOCKER) -> None:
    """See that ``docker``, ``docker compose`` and ``docker buildx`` are there; ``without`` as in ``connect``.

    Raises:
        EngineError: one is missing, with the package that has it.
    """
    with ThreadPoolExecutor(len(_COMMANDS)) as pool:  # a plugin takes a fifth of a second to say its version
        asked = [pool.submit(run, argv, timeout=30) for argv, _, _ in _COMMANDS]
    for answer, (_, what, package) in zip(asked, _COMMANDS, strict=True):
        try:
            answer.result()
        except CommandFailed as error:
            message = f"{what} does not work: {_reason(error)}"
            raise EngineError(message, f"install {package}{without}") from error


def _reason(error: CommandFailed) -> str:
    lines = [line for line in error.output.splitlines() if line.strip()]
    return lines[0].strip() if lines else "it said nothing"
