"""Watch a deployed stack until every server is healthy, or one has failed. Swarm's own exit codes do not reflect it.

What ``docker stack deploy`` and ``docker service scale`` return is that the Swarm accepted it; whether the tasks then
run is asked here, of tasks and of each service's update status.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gymctl.config.terminal_text import last_lines
from gymctl.engines.compose.watch import ServerFailed
from gymctl.engines.protocol import OnServer, ServerEvent
from gymctl.engines.runner import run
from gymctl.engines.swarm.task_health import Judgement, judge
from gymctl.engines.swarm.tasks import SwarmService, Task, find_services, find_tasks

if TYPE_CHECKING:
    import docker

_POLL_S = 0.5
_PATIENCE_S = 10.0  # a node may free resources that a task needs, or come back
_TAIL = 15


@dataclass
class DeployWatch:
    """One change of a stack: the servers that must get healthy; ``before`` are the ids of tasks that were there."""

    client: docker.DockerClient
    stack: str
    servers: Mapping[str, str]
    """Names of the servers by their services."""
    on_event: OnServer
    before: Collection[str] = ()
    _began: float = field(default_factory=time.monotonic)
    _seen: dict[str, tuple[str, str]] = field(default_factory=dict)
    _unplaced: dict[str, float] = field(default_factory=dict)
    _tails: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def until_healthy(self, timeout: float) -> None:
        """Return when every server is healthy; ``timeout`` in seconds.

        Raises:
            ServerFailed: one fails, finds no node, was rolled back, or takes too long.
        """
        while True:
            services = find_services(self.client, self.stack)
            tasks = find_tasks(self.client, self.stack)
            judged = {name: self._judge(name, services, tasks) for name in self.servers}
            self._tell(judged)
            if all(judgement.done for judgement in judged.values()):
                return
            rolling_back = any(judgement.state == "rolling back" for judgement in judged.values())
            for name, judgement in judged.items():
                self._check(name, judgement, rolling_back)
            if time.monotonic() - self._began > timeout:
                self._give_up(judged, tasks, timeout)
            time.sleep(_POLL_S)

    def _judge(self, name: str, services: dict[str, SwarmService], tasks: Sequence[Task]) -> Judgement:
        service = services.get(name)
        if service is None:
            raise ServerFailed(self.servers[name], "has no service: it was removed", command="gymctl logs")
        return judge(service, tasks, self.before)

    def _tell(self, judged: dict[str, Judgement]) -> None:
        for name, judgement in judged.items():
            state = (judgement.state, judgement.health)
            if self._seen.get(name) != state:
                self._seen[name] = state
                self.on_event(ServerEvent(self.servers[name], *state, time.monotonic() - self._began))

    def _check(self, name: str, judgement: Judgement, rolling_back: bool) -> None:
        if judgement.culprit is not None:
            self._keep_tail(judgement.culprit)  # a rollback takes the task, and with it its log, away
        if judgement.reason and not (rolling_back and judgement.state != "rolled back"):
            raise self._failed(name, judgement.reason, judgement.culprit)
        if not judgement.waiting:
            self._unplaced.pop(name, None)
        elif time.monotonic() - self._unplaced.setdefault(name, time.monotonic()) > _PATIENCE_S:
            raise self._failed(name, f"has no suitable node: {judgement.waiting}", None)

    def _give_up(self, judged: dict[str, Judgement], tasks: Sequence[Task], timeout: float) -> None:
        late = [name for name, judgement in judged.items() if not judgement.done]
        if late[1:]:
            also = f" (nor {', '.join(self.servers[name] for name in late[1:])})"
        else:
            also = ""
        newest = [task for task in tasks if task.service == late[0] and task.is_desired]
        reason = next((f": {task.error}" for task in newest if task.error), "")
        raise self._failed(late[0], f"is not healthy after {timeout:g} s{also}{reason}", newest[-1] if newest else None)

    def _failed(self, name: str, reason: str, culprit: Task | None) -> ServerFailed:
        if culprit is not None:
            lines = self._keep_tail(culprit)
        else:
            lines = ()
        if "No such image" in reason:
            reason += "; copy the images to every node: --host ssh://USER@NODE (repeated), or --registry HOST/PREFIX"
        server = self.servers[name]
        return ServerFailed(server, reason, lines, command=f"gymctl logs {shlex.quote(server)}")

    def _keep_tail(self, task: Task) -> tuple[str, ...]:
        if not self._tails.get(task.id):
            self._tails[task.id] = log_tail(task)
        return self._tails[task.id]


def log_tail(task: Task, count: int = _TAIL) -> tuple[str, ...]:
    """The last lines that a task printed; none if its node is lost or the task never started."""
    if task.state in ("rejected", "pending"):
        return ()
    argv = ["docker", "service", "logs", "--raw", "--tail", str(count), task.id]
    done = run(argv, check=False, timeout=20)
    if done.code == 0:
        return tuple(last_lines("\n".join([done.stdout, done.stderr]), count))
    return ()
