"""The machines that registered with a head: their servers, and when each machine last reported.

A machine says again every few seconds that it is there. One that has not for ``EXPIRES_S`` is gone: it is still listed,
as gone, until another machine brings its servers or ``FORGET_S`` have passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field

from gymctl.config.vocabulary import ServerKind

HEARTBEAT_S = 3.0
EXPIRES_S = 10.0  # three heartbeats may be lost, and one late
FORGET_S = 3600.0


def _dialable(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:  # a port that is no number from 0 to 65535 is a ValueError of its own
        raise ValueError(f"{url} has no host or no port")
    return url


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable characters")
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


class RegisteredServer(BaseModel):
    """One server of another machine: ``url`` is where others dial it, ``status`` how its own machine finds it."""

    name: Name
    kind: ServerKind
    implementation: Name
    entrypoint: Name = "app.py"
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+:\d+$"), AfterValidator(_printable), AfterValidator(_dialable)]
    status: Name = "success"


class Registration(BaseModel):
    """The registration of a machine: its name and all its servers."""

    token: str
    node: Name
    servers: list[RegisteredServer] = Field(default_factory=list)


@dataclass(frozen=True)
class WorkerNode:
    """A machine as it last registered; times are the registry's clock, in seconds."""

    name: str
    servers: tuple[RegisteredServer, ...]
    since: float
    seen: float


class NameTakenError(Exception):
    """A machine registers a server whose name is in use; the message names the owner."""


class Registry:
    """Registered machines. ``own`` are the names of the head's own servers, which no machine may register."""

    def __init__(self, own: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._own = frozenset(own)
        self._clock = clock
        self._nodes: dict[str, WorkerNode] = {}

    def register(self, node: str, servers: Sequence[RegisteredServer]) -> bool:
        """Note that a machine is there with these servers; returns whether it was not before.

        Servers of a machine that has stopped reporting are taken over by the machine that registers them next.

        Raises:
            NameTakenError: a name is already used by a server of the head's stack, or by another machine that is
            present.
        """
        self._forget()
        for server in servers:
            if server.name in self._own:
                raise NameTakenError(f"{server.name} is already a server of the head's stack")
            holder = self._holder(server.name)
            if holder is not None and holder.name != node:
                if self.is_there(holder):
                    raise NameTakenError(f"{server.name} is already registered by {holder.name}")
                self._nodes.pop(holder.name)
        now = self._clock()
        before = self._nodes.get(node)
        known = before is not None and self.is_there(before)
        self._nodes[node] = WorkerNode(node, tuple(servers), before.since if known and before else now, now)
        return not known

    def leave(self, node: str) -> bool:
        """Take a machine off the list; returns whether it was on it."""
        return self._nodes.pop(node, None) is not None

    def is_there(self, node: WorkerNode) -> bool:
        """Whether a machine has reported recently."""
        return self._clock() - node.seen <= EXPIRES_S

    @property
    def nodes(self) -> tuple[WorkerNode, ...]:
        """Every machine that is there or went not long ago, in the order of their names."""
        self._forget()
        return tuple(self._nodes[name] for name in sorted(self._nodes))

    def servers(self) -> Iterator[tuple[RegisteredServer, WorkerNode]]:
        """Every registered server with its machine."""
        for node in self.nodes:
            for server in node.servers:
                yield server, node

    def records(self) -> list[dict[str, Any]]:
        """The machines as ``GET /nodes`` shows them; times in seconds ago."""
        now = self._clock()
        return [
            {
                "node": node.name,
                "state": "there" if self.is_there(node) else "gone",
                "since_seconds": round(now - node.since, 1),
                "seen_seconds": round(now - node.seen, 1),
                "servers": [server.model_dump(mode="json") for server in node.servers],
            }
            for node in self.nodes
        ]

    def _holder(self, server: str) -> WorkerNode | None:
        return next((node for node in self._nodes.values() if any(item.name == server for item in node.servers)), None)

    def _forget(self) -> None:
        now = self._clock()
        self._nodes = {name: node for name, node in self._nodes.items() if now - node.seen <= FORGET_S}
