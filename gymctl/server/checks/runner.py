"""CPU-intensive checks outside of the event loop: as tasks of a configured Ray cluster, otherwise in local processes.

The function of a check is a module's function, of any module of the server's folder. It gets and gives plain data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gymctl.config.vocabulary import RAY_ADDRESS_KEY
from gymctl.server.calls.client import HopFailed
from gymctl.server.checks.ray_backend import Cluster, Place
from gymctl.server.checks.worker_pool import MEMORY, CheckFailed, Pool

if TYPE_CHECKING:
    from gymctl.server.base import Server

__all__ = ["CheckFailed", "Done", "Place", "Work"]

MOST_WAITING = 10_000  # checks that wait for a process; more are refused, to be asked again
MOST_ON_RAY = 1024  # checks that Ray holds at a time; it has its own queue


@dataclass(frozen=True)
class Done:
    """Result of a check; ``place`` is the node of a cluster that ran it, if any."""

    value: Any
    place: Place | None = None

    @property
    def reply_fields(self) -> dict[str, Any]:
        """The place as a field of a reply: ``{"verified_on": {"node": ..., "host": ...}}``, or nothing."""
        if self.place:
            return {"verified_on": self.place._asdict()}
        return {}

    @property
    def told(self) -> dict[str, Any]:
        """Former name of ``reply_fields``, kept for one release."""
        return self.reply_fields


class Work:
    """Runs the checks of a server. Nothing is started or connected before the first."""

    def __init__(
        self, server: Server, *, processes: int | None = None, preload: Sequence[str] = (), memory: int = MEMORY
    ) -> None:
        """``processes`` here, by default as many as cores; ``preload``: modules that checks import.

        Raises:
            InputError: a cluster is configured, and the ``ray`` package is not installed.
        """
        self._server = server
        self._processes = processes or cores()
        self._preload = preload
        self._memory = memory
        self._waiting = 0
        self._pool: Pool | None = None
        address = server.settings.whole.get(RAY_ADDRESS_KEY) or os.environ.get("RAY_ADDRESS")
        self._cluster = Cluster(str(address), most=MOST_ON_RAY, preload=preload, memory=memory) if address else None

    async def run(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Done:
        """``function(*arguments)``, which is killed when it takes more than ``seconds``.

        Raises:
            CheckFailed: it overran, its process died, or it raised.
            HopFailed: too many checks wait, or the cluster is not there: 503, to be asked again.
        """
        if self._waiting >= MOST_WAITING:
            name = self._server.name
            text = f"{self._server.name} has {MOST_WAITING:,} checks waiting"
            cause = {"hop": name, "path": "check", "status": 503, "body": text, "kind": "status"}
            raise HopFailed(name, "check", status=503, body=text, retry_after=1.0, cause=cause)
        self._waiting += 1
        try:
            if self._cluster is not None:
                return Done(*await self._cluster.run(function, arguments, seconds))
            if self._pool is None:  # not before: only now is it known how many processes are this server
                processes = self._server.share(self._processes)
                self._pool = Pool(processes, preload=self._preload, memory=self._memory)
            return Done(await self._pool.run(function, arguments, seconds))
        finally:
            self._waiting -= 1

    @property
    def is_remote(self) -> bool:
        """Whether checks are tasks of a cluster, and not processes of this machine."""
        return self._cluster is not None

    async def close(self) -> None:
        """End what was started."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
        if self._cluster is not None:
            await self._cluster.close()


def cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
