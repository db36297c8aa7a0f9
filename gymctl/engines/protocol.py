"""What an engine does, whichever it is: the words that the command line and the engines share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gymctl.engines.runner import OnLine

MISSING = "missing"
DRAIN_TIMEOUT_S = 600.0
"""Seconds that an old container may take, by default, to finish its work."""
DRAINING = "draining"
"""State of a container that finishes its work before it ends."""


@dataclass(frozen=True)
class Moment:
    """An event in the history of a replica: ``when`` in RFC 3339, its number (0 for a single replica), and its node."""

    when: str
    replica: int
    node: str
    what: str


@dataclass(frozen=True)
class ServerStatus:
    """How one server is.

    ``state`` is Docker's word (created, running, restarting, exited, paused, dead), ``missing``, or ``done`` for what
    was to end by itself and did; ``health`` is healthy, unhealthy, starting or, without a health check, empty.
    ``exit_code`` is set for a server that ended.
    ``replicas`` are wanted and ``running`` are there (None: the engine does not count), on ``nodes`` (a Swarm's
    have ids too, since two may have one name); ``error`` is why one is not; ``history`` is what became of those before.
    ``node`` is the machine that registered it; its state may be ``gone`` and its health ``unreachable``.
    """

    name: str
    kind: str
    implementation: str
    state: str
    health: str
    uptime_seconds: float | None
    address: str
    restarts: int = 0
    exit_code: int | None = None
    replicas: int = 1
    running: int | None = None
    nodes: tuple[str, ...] = ()
    error: str = ""
    history: tuple[Moment, ...] = ()
    node: str = ""
    node_ids: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it is running and, if it has a health check, healthy; or is a one-shot service that has succeeded."""
        if self.state == "done":
            return True
        if self.running is not None and self.running < self.replicas:
            return False
        return self.state == "running" and self.health in ("healthy", "")


@dataclass(frozen=True)
class ServerEvent:
    """A server's state or health changed while the stack was started; ``seconds`` are counted from the start."""

    name: str
    state: str
    health: str
    seconds: float


OnServer = Callable[[ServerEvent], None]


@dataclass(frozen=True)
class JobMount:
    """A file or folder of this machine that a job sees at ``target``."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Job:
    """A command to run once on a stack's network, as this user, with a read-only root; ``/tmp`` is its own."""

    command: Sequence[str]
    mounts: Sequence[JobMount] = ()
    stdin: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    holds_stdin: bool = False
    """Whether standard input stays open while this process lives: a job that reads its end knows that nobody waits."""
    alias: str = ""
    """A further name of its container on the stack's network."""


@dataclass(frozen=True)
class JobResult:
    """How a job ended: its exit code, the end of its standard error, whether Ctrl-C stopped it."""

    code: int
    output: str = ""
    interrupted: bool = False


@dataclass(frozen=True)
class Removed:
    """What ``down`` took away, and what it left and why."""

    name: str
    containers: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    """One machine of a Swarm.

    ``state`` is ready, down, unknown or disconnected; ``availability`` active, pause or drain.
    """

    id: str
    name: str
    role: str
    state: str
    availability: str
    address: str
    message: str = ""
    leader: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether tasks may be started on it."""
        return self.state == "ready" and self.availability == "active"


class Engine(Protocol):
    """What every engine does with the stack of its directory once it is up; how it is brought up differs."""

    def status(self) -> list[ServerStatus]:
        """Every server of the stack, in its order."""

    def nodes(self) -> list[Node]:
        """The machines of a Swarm, managers first; empty when the engine is on one machine."""

    def serves_loopback(self) -> bool:
        """Whether processes of this machine reach its servers; otherwise only jobs on its network do.

        Raises:
            EngineError: it has ended.
        """

    def run_job(self, job: Job, on_line: OnLine, on_error_line: OnLine | None = None) -> JobResult:
        """Run a job on the stack's network; each line of its standard output goes to ``on_line``.

        Raises:
            EngineError: the stack or its network is gone, or the engine runs no jobs.
        """

    def logs(self, servers: Sequence[str], on_line: OnLine, *, follow: bool, tail: int | None, since: str) -> None:
        """Pass on the log lines of the servers, of all when none is named."""

    def scale(self, counts: Mapping[str, int], *, timeout: float, on_event: OnServer) -> None:
        """Set the replica count of each server, and wait until they are healthy."""

    def down(self, *, volumes: bool) -> Removed:
        """Stop and remove everything of the stack."""
