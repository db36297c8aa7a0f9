"""The health of one service of a stack: a pure function of what the Swarm reports about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from gymctl.engines.swarm.tasks import SwarmService, Task

_GAVE_UP = ("paused", "rollback_completed", "rollback_paused")
_ROLLING_BACK = ("rollback_started", *_GAVE_UP)
# One failure may be a matter of order (Swarm starts everything at once); the second in the same slot is a habit.
_FAILURES = 2
_NO_IMAGE = "No such image"


@dataclass(frozen=True)
class Judgement:
    """How a service does: in Docker's words, whether that is the end, and the task and the reason when it failed.

    ``waiting`` is why a task cannot be placed on any node, for as long as that is so.
    """

    state: str
    health: str
    done: bool = False
    reason: str = ""
    culprit: Task | None = None
    waiting: str = ""


def judge(service: SwarmService, tasks: Sequence[Task], before: Collection[str] = ()) -> Judgement:
    """How a service does, from its tasks; those whose ids are in ``before`` were there earlier, and are not blamed.

    It is done when as many replicas as requested run, all of the present definition, and nothing of an earlier one.
    """
    mine = [task for task in tasks if task.service == service.name]
    failed = [task for task in mine if task.failed and task.id not in before]
    if service.update in _ROLLING_BACK:
        return _rolled_back(service, failed)
    desired = [task for task in mine if task.is_desired]
    current = [task for task in desired if service.made(task)]
    running = [task for task in current if task.runs]
    if len(running) >= service.replicas and service.update in ("", "completed") and not _stale(service, desired):
        return Judgement("running", "healthy", done=True)
    reason, culprit = _hopeless(service, failed)
    on_the_way = [task for task in current if not task.runs]
    judgement = _on_the_way(running, on_the_way)
    return replace(judgement, reason=reason, culprit=culprit, waiting=_reason_to_wait(on_the_way))


def _stale(service: SwarmService, desired: Sequence[Task]) -> bool:
    """Whether a task of an earlier definition still runs."""
    return any(task.state == "running" and not service.made(task) for task in desired)


def _reason_to_wait(tasks: Sequence[Task]) -> str:
    """Why one of ``tasks`` cannot be placed on any node; empty if all can."""
    return next((task.error for task in tasks if task.state == "pending" and task.error), "")


def _on_the_way(running: Sequence[Task], others: Sequence[Task]) -> Judgement:
    if not others:
        return Judgement("running" if running else "missing", "")
    furthest = max(others, key=lambda task: task.changed)
    starting = furthest.state == "starting"
    return Judgement("running" if starting else furthest.state, "starting" if starting else "")


def _rolled_back(service: SwarmService, failed: Sequence[Task]) -> Judgement:
    """An update that Swarm gives up; while it rolls back there is nothing to do but to wait."""
    if failed:
        culprit = failed[-1]
    else:
        culprit = None
    if service.update not in _GAVE_UP:
        return Judgement("rolling back", "", culprit=culprit)
    if service.update == "rollback_completed":
        how = "update failed and was rolled back"
    else:
        how = service.update_message
    if culprit:
        reason = f"{how}: {describe_failure(culprit)}"
    elif service.update_message and how != service.update_message:
        reason = f"{how}: {service.update_message}"
    else:
        reason = how
    return Judgement("rolled back", "", reason=reason, culprit=culprit)


def _hopeless(service: SwarmService, failed: Sequence[Task]) -> tuple[str, Task | None]:
    """Why it will not start, when Swarm does not monitor an update."""
    for task in reversed(failed):
        if _NO_IMAGE in task.error:
            return f"cannot be started on {task.node}: {task.error}", task
        earlier = [other for other in failed if other.slot == task.slot]
        if len(earlier) >= _FAILURES and not service.update:
            return f"{describe_failure(task)}, repeatedly (restart loop)", task
    return "", None


def describe_failure(task: Task) -> str:
    """How a task failed, and where: the end of a sentence."""
    if task.state == "rejected":
        return f"cannot be started{f' on {task.node}' if task.node else ''}: {task.error or task.message}"
    if task.node:
        return f"{fault(task)} on {task.node}"
    return fault(task)


def fault(task: Task) -> str:
    """How a task failed: the end of a sentence."""
    if task.state == "rejected":
        return f"cannot be started: {task.error or task.message}"
    if "unhealthy" in task.error:
        return "did not stay healthy"
    if task.exit_code:
        return f"exited with code {task.exit_code}"
    return f"failed: {task.error or task.message}"
