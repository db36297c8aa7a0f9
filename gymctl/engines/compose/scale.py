"""More or fewer replicas of servers in a stack that runs, with calls going on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config import MOST_REPLICAS
from gymctl.config.vocabulary import REPLICA_SUFFIX
from gymctl.config.wording import did_you_mean, suggestion
from gymctl.engines.atomic_files import new_file_mode, write_atomically
from gymctl.engines.compose.drain import drain
from gymctl.engines.compose.watch import Watch
from gymctl.engines.docker.containers import Container, find_containers
from gymctl.engines.protocol import OnServer
from gymctl.engines.runner import background
from gymctl.engines.state import StackState, save_state
from gymctl.errors import InputError
from gymctl.stack.compose.replica_edit import with_replicas

if TYPE_CHECKING:
    import docker


def services_to_scale(state: StackState, counts: Mapping[str, int]) -> dict[str, int]:
    """The wanted number of replicas by the name of the service that has them.

    Raises:
        InputError: the server does not exist, it can have only one replica, or the count is out of range.
    """
    known = {server.name: server for server in state.servers}
    services: dict[str, int] = {}
    for name, count in counts.items():
        server = known.get(f"{name}{REPLICA_SUFFIX}") or known.get(name)
        if server is None:
            names = [item.name for item in state.servers if not item.single]
            raise InputError(f"no server {name!r} here", did_you_mean(name, known) or suggestion("", names))
        if not 1 <= count <= MOST_REPLICAS:
            raise InputError(
                f"{name}: {count} replicas are not possible", f"it must be a number from 1 to {MOST_REPLICAS}"
            )
        if server.single:
            raise InputError(f"{name} can have only one replica", server.single)
        services[server.service_name] = count
    return services


def scale_project(
    client: docker.DockerClient,
    directory: Path,
    state: StackState,
    counts: Mapping[str, int],
    command: Callable[..., list[str]],
    *,
    timeout: float,
    on_event: OnServer,
) -> None:
    """Set the number of containers of each service of a Compose project; the others are not touched.

    Those that go take nothing new, finish what is under way (at most ``timeout`` seconds), and are removed. The file
    and the state say the new numbers from the start, so that whoever runs Compose meanwhile does not undo it.

    ``command(name, *arguments)`` makes a ``docker compose`` command for the directory's file.

    Raises:
        ServerFailed: a new one did not come up.
        EngineError: the file cannot be written, or Compose failed.
    """
    _write(directory, state, counts)
    before = {item.id: item for item in find_containers(client, state.name)}
    drain(client, _surplus(before.values(), counts), timeout, state.titles, on_event)
    known = {item.id: item for item in find_containers(client, state.name)}
    watch = Watch(client, state.name, {name: state.titles[name] for name in counts}, on_event, known)
    start = command(state.name, "up", "--detach", "--no-build", "--no-deps", "--no-recreate", *counts)
    with background(start, cwd=directory) as compose:
        watch.until_healthy(compose, timeout)


def _write(directory: Path, state: StackState, counts: Mapping[str, int]) -> None:
    file = directory / state.compose_file
    try:
        text = file.read_text(encoding="utf-8")
        after = with_replicas(text, counts)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be changed: {error}", "render it again: gymctl up CONFIG...") from error
    servers = tuple(replace(item, replicas=counts.get(item.service_name, item.replicas)) for item in state.servers)
    ours = hashlib.sha256(text.encode()).hexdigest() == state.compose_digest  # a file that was edited stays the user's
    if ours:
        digest = hashlib.sha256(after.encode()).hexdigest()
    else:
        digest = state.compose_digest
    save_state(directory, replace(state, servers=servers, compose_digest=digest))
    write_atomically(file, after, mode=new_file_mode())


def _surplus(containers: Iterable[Container], counts: Mapping[str, int]) -> list[Container]:
    """Those to go: what does not run first, then the youngest."""
    surplus = []
    for name, count in counts.items():
        mine = sorted((item for item in containers if item.service == name), key=lambda item: item.started_at)
        surplus += sorted(mine, key=lambda item: item.badness)[count:]
    return surplus
