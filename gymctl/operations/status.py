"""The servers of a directory's stack as they are now, and the nodes of its Swarm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gymctl.engines.choice import engine_of
from gymctl.engines.collections import RunningCollection, running_collections
from gymctl.engines.protocol import Node, ServerStatus
from gymctl.engines.stack_directory import stack_directory
from gymctl.engines.state import load_state


@dataclass(frozen=True)
class StackStatus:
    """A stack as it is now."""

    name: str
    servers: tuple[ServerStatus, ...]
    """Its servers in their order, then those that run elsewhere, and those that other machines registered."""
    nodes: tuple[Node, ...] = ()
    """The machines of its Swarm, managers first; empty elsewhere."""
    collections: tuple[RunningCollection, ...] = ()
    """The collections that run from it, started in its directory."""

    @property
    def ok(self) -> bool:
        """Whether every server is healthy."""
        return all(server.ok for server in self.servers)

    @property
    def summary(self) -> str:
        """How many servers are healthy, e.g. ``14/27 healthy``."""
        return f"{sum(server.ok for server in self.servers)}/{len(self.servers)} healthy"

    def servers_on(self, node: Node) -> tuple[str, ...]:
        """Names of the servers that run on a node."""
        return tuple(server.name for server in self.servers if node.id in server.node_ids)


def status(directory: Path | None = None) -> StackStatus:
    """Ask how every server of a directory's stack is; by default of the working directory's.

    Raises:
        InputError: no stack was brought up there.
        EngineError: its engine does not answer.
    """
    from gymctl.engines.outside_servers import outside_statuses
    from gymctl.engines.remote_servers import registered_servers

    directory = stack_directory(directory)
    state = load_state(directory)
    engine = engine_of(directory)
    if state.takes_workers:
        remote = registered_servers(state.head_url)
    else:
        remote = []
    return StackStatus(
        name=state.name,
        servers=(*engine.status(), *outside_statuses(state), *remote),
        nodes=tuple(engine.nodes()),
        collections=tuple(running_collections(directory)),
    )
