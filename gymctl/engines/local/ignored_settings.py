"""Settings that need containers or several machines, and therefore do nothing with the local engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gymctl.config import Config, ServerInstance
from gymctl.config.blocks.container_settings import CONTAINER_KEYS
from gymctl.config.vocabulary import RAY_ADDRESS_KEY
from gymctl.config.wording import listing

_IS_SET: dict[str, Callable[[ServerInstance], bool]] = {
    "placement and resources ({}) have no effect with the local engine": (
        lambda server: bool(server.placement or server.limits)
    ),
    "replicas ({}) have no effect with the local engine, which runs one of each server": (
        lambda server: server.replicas > 1
    ),
    "num_workers ({}) has no effect with the local engine": lambda server: (server.num_workers or 1) > 1,
    f"{', '.join(CONTAINER_KEYS)} ({{}}) have no effect with the local engine": (
        lambda server: server.container is not None
    ),
    "the hosts in egress ({}) are not enforced by the local engine: its servers can reach every address": (
        lambda server: server.container is not None and bool(server.container.egress_hosts)
    ),
    "needs_ray ({}) has no effect with the local engine: checks run in subprocesses": (lambda server: server.needs_ray),
}
"""Note, with a place for the names of servers, to whether a server has the setting."""


def ignored_settings(config: Config) -> Iterator[str]:
    """One note for each setting of ``config`` that the local engine ignores, naming the servers that have it."""
    for note, is_set in _IS_SET.items():
        if names := [name for name, server in config.started.items() if is_set(server)]:
            yield note.format(listing(names))
    if config.logs is not None:
        yield "logs has no effect with the local engine: `gymctl logs` reads the files of its servers"
    if config.ray is not None and not config.values.get(RAY_ADDRESS_KEY):
        yield "ray has no effect with the local engine: checks run in subprocesses, and no cluster is started"
