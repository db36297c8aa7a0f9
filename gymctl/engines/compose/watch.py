"""Watch a stack start: until every server is healthy, or one has failed."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gymctl.config.terminal_text import last_lines
from gymctl.engines.docker.containers import Container, by_service, find_containers, last_exit_code, log_tail
from gymctl.engines.docker.location import unseen_source
from gymctl.engines.protocol import MISSING, OnServer, ServerEvent
from gymctl.engines.runner import Background
from gymctl.errors import EngineError, ErrorCode
from gymctl.stack.container import start_seconds

if TYPE_CHECKING:
    import docker

    from gymctl.stack import ServicePlan

_POLL_S = 0.2
_LEAST_PATIENCE_S = 180.0


def patience(services: Iterable[ServicePlan]) -> float:
    """Default number of seconds to wait for a stack: as long as its slowest service may need to start."""
    return max(_LEAST_PATIENCE_S, *map(start_seconds, services))


class ServerFailed(EngineError):  # noqa: N818 - a fact about a server, like CommandFailed
    """A server that failed to start. ``reason`` explains how, ``lines`` are its last output.

    ``command`` shows the rest of them; ``rolled_back`` when the stack is again what it was.
    """

    def __init__(
        self, server: str, reason: str, lines: Sequence[str] = (), command: str = "", *, rolled_back: bool = False
    ) -> None:
        self.server = server
        self.reason = reason
        self.lines = tuple(lines)
        self.rolled_back = rolled_back
        if rolled_back:
            hint = f"full log: {command}" if command else "correct it, then run gymctl up again"
        else:
            hint = f"full log: {command or f'docker compose logs {server}'}; to clean up: gymctl down"
        super().__init__(f"{server} {reason}", hint, ErrorCode.SERVER_FAILED)

    def __str__(self) -> str:
        """What failed, the next step, then the server's own last lines."""
        return "\n".join([f"{self.message}; {self.hint}", *(f"  | {line}" for line in self.lines)])


@dataclass
class Watch:
    """One start of a stack: the servers that must get healthy, and how their containers were before.

    Compose recreates and restarts containers while it works: until it has ended, a container that was there before
    is not judged, since Compose may be stopping it.
    """

    client: docker.DockerClient
    project: str
    servers: Mapping[str, str]
    """Names of the servers by their services."""
    on_event: OnServer
    before: Mapping[str, Container] = field(default_factory=dict)
    ignored: Collection[str] = ()
    """Ids of containers that are not part of this start, whatever happens to them."""
    _began: float = field(default_factory=time.monotonic)
    _seen: dict[str, tuple[str, str]] = field(default_factory=dict)

    def until_healthy(self, compose: Background, timeout: float) -> None:
        """Return when every server is healthy; ``timeout`` in seconds.

        A failure ends the wait once Compose has started all others: a server that waits for Ray is started too.

        Raises:
            ServerFailed: one ended, restarts, is unhealthy, or takes too long.
            EngineError: Compose itself failed.
        """
        while True:
            looked = time.monotonic()
            code = compose.poll()  # asked before the containers: what it did is then seen
            containers = [item for item in find_containers(self.client, self.project) if item.id not in self.ignored]
            worst = by_service(containers)
            self._tell(worst)
            is_late = looked - self._began > timeout
            failure = self._first_failure(containers, code)
            if failure and (is_late or code is not None or not self._any_waits(worst)):
                raise failure
            if code:
                raise _compose_failed(compose.output)
            if code == 0 and self._all_healthy(worst):
                return
            if is_late:
                self._give_up(worst, timeout)
            time.sleep(max(_POLL_S, time.monotonic() - looked))  # of a hundred containers a look costs Docker a second

    def _tell(self, worst: Mapping[str, Container]) -> None:
        for name in self.servers:
            container = worst.get(name)
            if container:
                state = (container.state, container.health)
            else:
                state = (MISSING, "")
            if container and container.done:
                state = ("done", "")
            if self._seen.get(name) != state:
                self._seen[name] = state
                self.on_event(ServerEvent(self.servers[name], *state, time.monotonic() - self._began))

    def _any_waits(self, worst: Mapping[str, Container]) -> bool:
        """Whether Compose has yet to start a server, for which others must be healthy first."""
        containers = (worst.get(name) for name in self.servers)
        return any(
            container is None or (container.state == "created" and not container.error) for container in containers
        )

    def _first_failure(self, containers: Iterable[Container], code: int | None) -> ServerFailed | None:
        for container in containers:
            if container.service not in self.servers or not self._is_judged(container, code):
                continue
            if reason := self._failure(container, self.before.get(container.id)):
                return self._failed(container.service, reason, log_tail(self.client, container))
        return None

    def _is_judged(self, container: Container, code: int | None) -> bool:
        """Whether a container is part of this start; ``code`` is Compose's exit code, once it has ended."""
        earlier = self.before.get(container.id)
        if earlier is None or code == 0:
            return True
        if code is None:
            return False
        # after a failed Compose a stopped container that was not restarted is one that Compose did not come to
        return earlier.started_at != container.started_at or container.state in ("running", "restarting")

    def _failure(self, container: Container, earlier: Container | None) -> str:
        """How a container has failed, as the end of a sentence; empty when it has not."""
        begun_anew = container.restarts - (earlier.restarts if earlier else 0) or container.state == "restarting"
        if container.done or 0 < begun_anew < container.tries:
            return ""
        if begun_anew:
            # one that runs again has forgotten its exit code
            if container.state == "running":
                code = last_exit_code(self.client, container)
            else:
                code = container.exit_code
            return f"exited{_with(code, container)} repeatedly (restart loop)"
        if container.state in ("exited", "dead"):
            return f"exited{_with(container.exit_code, container)}" + (
                f": {container.error}" if container.error else ""
            )
        if container.state == "created" and container.error:
            return f"cannot be started: {_innermost(container.error)}"
        if container.health == "unhealthy":
            return f"is unhealthy{_health_output(container)}"
        return ""

    def _all_healthy(self, worst: Mapping[str, Container]) -> bool:
        for name in self.servers:
            container = worst.get(name)
            if container is None:
                raise self._failed(name, "has no container: it was removed")
            if not container.is_well:
                return False
        return True

    def _give_up(self, worst: Mapping[str, Container], timeout: float) -> None:
        late = [name for name in self.servers if name not in worst or _is_late(worst[name])]
        if late:
            name = late[0]
        else:
            name = next(iter(self.servers))
        container = worst.get(name)
        if container is None:
            raise self._failed(name, f"has no container after {timeout:g} s")
        if late[1:]:
            also = f" (nor {', '.join(self.servers[name] for name in late[1:])})"
        else:
            also = ""
        reason = f"is not healthy after {timeout:g} s{also}{_health_output(container)}"
        raise self._failed(name, reason, log_tail(self.client, container))

    def _failed(self, service: str, reason: str, lines: Sequence[str] = ()) -> ServerFailed:
        command = f"docker compose logs {service}"
        return ServerFailed(self.servers.get(service, service), reason, lines, command)


def _is_late(container: Container) -> bool:
    """Whether it is itself what takes long; one that was only created waits for another."""
    return container.health not in ("healthy", "") or (container.completes and container.state == "running")


def _with(code: int | None, container: Container) -> str:
    if code is not None:
        known = f" with code {code}"
    else:
        known = ""
    return known + (f", {container.memory_reason}" if container.out_of_memory else "")


def _innermost(error: str) -> str:
    """Drop the steps that runc and containerd put before what happened."""
    return error.removesuffix(": unknown").rpartition("error during container init: ")[2]


def _health_output(container: Container) -> str:
    lines = last_lines(container.health_output, 3)
    if lines:
        return f": its health check says: {' / '.join(lines)}"
    return ""


def _compose_failed(output: str) -> EngineError:
    lines = last_lines(output, 5)
    errors = [line for line in lines if "error" in line.lower()] or lines[-1:] or ["there was no output"]
    reason = errors[-1].removeprefix("Error response from daemon: ")
    unseen = unseen_source(reason)
    if unseen is not None:
        return unseen
    return EngineError(f"Compose could not start the stack: {reason}", "to clean up: gymctl down")
