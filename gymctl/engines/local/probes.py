"""Ask the servers of a local stack, each at its own address, how they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.error import URLError

from gymctl.engines.direct_http import open_directly
from gymctl.engines.protocol import ServerStatus
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.state import StackState

_PROBE_S = 2.0


def ask_all(state: StackState) -> list[ServerStatus]:
    """Every server's status, in the state's order."""
    with ThreadPoolExecutor(max_workers=min(32, len(state.servers))) as pool:
        return list(pool.map(_ask, state.servers))


def _ask(server: ServerAddress) -> ServerStatus:
    """One server's status: a server that answers ``/`` is healthy, and its reply contains its uptime."""
    status = healthy_status(server)
    try:
        with open_directly(f"{server.address}/", _PROBE_S) as reply:
            return replace(status, uptime_seconds=float(reply.headers.get("x-gym-uptime") or 0))
    except TimeoutError:
        return replace(status, health="unhealthy")
    except (URLError, OSError):
        return replace(status, state="exited", health="")


def healthy_status(server: ServerAddress) -> ServerStatus:
    """The status of a server that runs well, but for its uptime."""
    return ServerStatus(server.name, server.kind, server.implementation, "running", "healthy", None, server.address)
