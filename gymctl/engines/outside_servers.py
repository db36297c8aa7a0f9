"""Servers of a configuration that run elsewhere (``at: URL``): where they are, and whether they answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.error import URLError

from gymctl.config import Config, EngineKind
from gymctl.config.vocabulary import LOOPBACK
from gymctl.engines.direct_http import open_directly
from gymctl.engines.protocol import ServerStatus
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.state import StackState
from gymctl.stack.slices.host_gateway import GATEWAY
from gymctl.stack.slices.slices import Address

_PROBE_S = 3.0


def outside_servers(config: Config, engine: EngineKind) -> tuple[ServerAddress, ...]:
    """The servers that the stack calls and does not start, at the addresses that its own servers dial."""
    gateway: str | None = GATEWAY
    if engine is EngineKind.LOCAL:
        gateway = None
    return tuple(
        ServerAddress(server.name, server.kind.value, server.implementation, Address.of(server.at, gateway).url)
        for server in config.servers.values()
        if server.at is not None
    )


def outside_statuses(state: StackState) -> list[ServerStatus]:
    """Whether each of them answers this machine now: its health is ``healthy`` or ``unreachable``."""
    if not state.outside:
        return []
    with ThreadPoolExecutor(max_workers=min(32, len(state.outside))) as pool:
        return list(pool.map(_status, state.outside))


def silent_servers(state: StackState) -> Iterator[str]:
    """A sentence for each of them that does not answer."""
    for status in outside_statuses(state):
        if not status.ok:
            yield f"{status.name} does not answer at {status.address}: {status.error}; start it there, or correct `at`"


def _status(server: ServerAddress) -> ServerStatus:
    """Any HTTP reply is an answer: what a server has at ``/`` differs between releases."""
    url = server.address.replace(GATEWAY, LOOPBACK)
    health = "healthy"
    error = ""
    try:
        open_directly(f"{url}/", _PROBE_S).close()
    except URLError as failure:
        if not hasattr(failure, "code"):
            health = "unreachable"
            error = str(failure.reason)
    except OSError as failure:
        health = "unreachable"
        error = str(failure)
    return ServerStatus(
        name=server.name,
        kind=server.kind,
        implementation=server.implementation,
        state="running",
        health=health,
        uptime_seconds=None,
        address=url,
        error=error,
    )
