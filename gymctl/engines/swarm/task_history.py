"""What happened to a server's replicas: where they were, how each ended, where they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gymctl.engines.docker.containers import seconds_since
from gymctl.engines.protocol import MISSING, Moment, Node, ServerStatus
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.swarm.task_health import describe_failure, fault
from gymctl.engines.swarm.tasks import SwarmService, Task


def server_status(
    server: ServerAddress, service: SwarmService | None, tasks: Sequence[Task], nodes: Mapping[str, Node]
) -> ServerStatus:
    """How a server is, from its service and the tasks that the Swarm remembers of it; ``nodes`` are by id."""
    identity = (server.name, server.kind, server.implementation)
    if service is None:
        return ServerStatus(*identity, MISSING, "", None, server.address, replicas=0, running=0)
    mine = [task for task in tasks if task.service == server.service_name]
    desired = [task for task in mine if task.is_desired]
    # a task on a node that is gone is still said to run there, until the node comes back to deny it
    running = [task for task in mine if task.runs and _is_up(nodes.get(task.node_id))]
    failed = [task for task in mine if task.failed]
    state, health = _state(service, desired, running)
    return ServerStatus(
        *identity,
        state,
        health,
        min((seconds_since(task.changed) for task in running), default=None),
        server.address,
        restarts=len(failed),
        exit_code=None if running else _last_exit_code(failed),
        replicas=service.replicas,
        running=len(running),
        nodes=tuple(sorted({task.node for task in running})),
        node_ids=tuple(sorted({task.node_id for task in running})),
        error=_last_error(desired, () if running else failed),
        history=tuple(history(mine, nodes)),
    )


def _last_exit_code(failed: Sequence[Task]) -> int | None:
    """The exit code of the last of the failed tasks; None if there is none, or it is 0."""
    return next((task.exit_code or None for task in reversed(failed)), None)


def _last_error(desired: Sequence[Task], failed: Sequence[Task]) -> str:
    """Why a task cannot start, else how the last one failed; empty if neither."""
    waiting = [task.error for task in desired if task.error and not task.runs]
    if waiting:
        return waiting[-1]
    return next(map(describe_failure, reversed(failed)), "")


def _is_up(node: Node | None) -> bool:
    return node is not None and node.state == "ready"


def _state(service: SwarmService, desired: Sequence[Task], running: Sequence[Task]) -> tuple[str, str]:
    if len(running) >= service.replicas:
        return "running", "healthy"
    others = [task for task in desired if not task.runs]
    if others:
        newest = max(others, key=lambda task: task.created)
    else:
        newest = None
    if newest is None:
        if not running:
            return (MISSING, "")
        return ("running", "unhealthy")
    if newest.state == "starting":
        return "running", "starting"
    return newest.state, ""


def history(tasks: Sequence[Task], nodes: Mapping[str, Node]) -> list[Moment]:
    """The fate of each task that has ended, in order of time, and the node of its replacement."""
    moments = []
    for task in tasks:
        later = [other for other in tasks if other.slot == task.slot and other.created > task.created]
        lost = task.state in ("running", "starting")
        heir: Task | None = None
        if later:
            if lost:
                heir = later[-1]
            else:
                heir = later[0]
        ending = _ended(task, nodes.get(task.node_id), heir)
        if ending:
            if heir is not None and heir.node:
                where = f"; then on {heir.node}"
            else:
                where = ""
            moments.append(Moment(_when(task, heir), task.slot, task.node, ending + where))
    return sorted(moments, key=lambda moment: moment.when)


def _ended(task: Task, node: Node | None, heir: Task | None) -> str:
    """How a task ended, as a sentence without a subject; empty while it runs."""
    if task.failed:
        return fault(task)
    if node is None or task.state == "orphaned":
        if task.is_desired:
            return ""
        return "was lost: its node left the Swarm"
    if node.state == "down" and task.state in ("running", "starting"):
        return f"was lost: the node is down{f' ({node.message})' if node.message else ''}"
    if task.is_desired or task.state not in ("shutdown", "complete"):
        return ""  # it is running, or about to end
    return _stopped(task, node, heir)


def _stopped(task: Task, node: Node, heir: Task | None) -> str:
    """Why a task was stopped in order."""
    if heir is not None and _unforced(heir) != _unforced(task):
        return "was replaced: its definition changed"
    if node.availability == "drain":
        return "was moved: the node is drained"
    if heir is not None and heir.node_id != task.node_id:
        return "was moved"
    return "was stopped"


def _unforced(task: Task) -> Mapping[str, object]:
    """A task's definition without the count of updates that were forced, which change nothing."""
    return {key: value for key, value in task.template.items() if key != "ForceUpdate"}


def _when(task: Task, heir: Task | None) -> str:
    """When a task ended. One on a dead node reports no more: then when its heir was made."""
    if heir is not None and task.state == "running":
        return heir.created
    return task.changed
