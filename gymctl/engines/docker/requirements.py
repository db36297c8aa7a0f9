"""Versions of Docker that a stack needs, checked before anything is built. The README names the same ones."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gymctl.engines.runner import CommandFailed, run
from gymctl.errors import EngineError, ErrorCode

if TYPE_CHECKING:
    import docker

WITHOUT_DOCKER = ", or run without Docker: gymctl up --engine local"

LEAST_ENGINE = "25.0"
"""The first release with ``start_interval`` of health checks."""
LEAST_API = (1, 44)
"""The API of that release."""

_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Tool:
    """A command that gymctl runs: its name, the call that prints its version, the minimum version, its package."""

    name: str
    command: tuple[str, ...]
    least: tuple[int, ...]
    package: str


TOOLS = (
    Tool("the docker command", ("docker", "--version"), (25, 0), "docker-ce-cli (Debian: docker-cli)"),
    Tool(
        "the Compose plugin",
        ("docker", "compose", "version"),
        (2, 20, 2),  # start_interval of health checks, and --progress before the command
        "docker-compose-plugin (Debian: docker-compose)",
    ),
    Tool(
        "the buildx plugin",
        ("docker", "buildx", "version"),
        (0, 10),  # --provenance and --build-context
        "docker-buildx-plugin (Debian: docker-buildx)",
    ),
)


def check_commands(without: str = WITHOUT_DOCKER) -> None:
    """See that ``docker``, ``docker compose`` and ``docker buildx`` are there and new enough.

    ``without`` ends the hint: the alternative.

    Raises:
        EngineError: one is missing or too old, with the version that is needed and the package that has it.
    """
    with ThreadPoolExecutor(len(TOOLS)) as pool:  # a plugin takes a fifth of a second to say its version
        answers = [pool.submit(run, tool.command, timeout=30) for tool in TOOLS]
    for answer, tool in zip(answers, TOOLS, strict=True):
        try:
            output = answer.result().stdout
        except CommandFailed as error:
            message = f"{tool.name} does not work: {_reason(error)}"
            raise EngineError(message, f"install {tool.package}{without}") from error
        version = parse_version(output)
        if version and version < tool.least:
            message = f"{tool.name} is too old: this is {_text(version)}, and gymctl needs {_text(tool.least)} or newer"
            raise EngineError(message, f"install a newer {tool.package}{without}", ErrorCode.TOO_OLD)


def check_engine(client: docker.DockerClient, environ: Mapping[str, str] = os.environ) -> None:
    """See that the engine is new enough.

    Raises:
        EngineError: it is older than Docker Engine 25, or Podman with such an API.
    """
    version: dict[str, Any] = client.version()
    api = parse_version(environ.get("DOCKER_API_VERSION") or version.get("ApiVersion", ""))
    if not api or api >= LEAST_API:
        return
    names = {item.get("Name"): item.get("Version") for item in version.get("Components") or ()}
    if "Podman Engine" in names:
        engine = f"Podman {names['Podman Engine']}"
    else:
        engine = f"Docker {version.get('Version')}"
    needed = f"gymctl needs Docker Engine {LEAST_ENGINE} or newer (API {_text(LEAST_API)})"
    hint = "upgrade the engine" + WITHOUT_DOCKER
    if environ.get("DOCKER_API_VERSION"):
        hint = "unset DOCKER_API_VERSION, or upgrade the engine" + WITHOUT_DOCKER
    raise EngineError(f"the engine is too old: {engine} is used with API {_text(api)}, and {needed}", hint)


def parse_version(output: str) -> tuple[int, ...]:
    """The first version number in a command's output; empty when it has none, as a build from source may."""
    match = _VERSION.search(output)
    if match:
        return tuple(int(part) for part in match.groups() if part is not None)
    return ()


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _reason(error: CommandFailed) -> str:
    lines = [line for line in error.output.splitlines() if line.strip()]
    if lines:
        return lines[0].strip()
    return "it printed nothing"
