"""What is done to a stack that is up: read its logs, change its replica counts, stop it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gymctl.engines.change_lock import change_lock
from gymctl.engines.choice import engine_of
from gymctl.engines.protocol import OnServer, Removed
from gymctl.engines.stack_directory import stack_directory
from gymctl.engines.state import load_state
from gymctl.errors import InputError
from gymctl.operations.events import ignore
from gymctl.operations.rollout_log import RolloutLines
from gymctl.operations.stack_change import stack_change

SCALE_TIMEOUT_S = 180.0


def logs(
    servers: Sequence[str] = (),
    on_line: Callable[[str], None] = print,
    *,
    directory: Path | None = None,
    follow: bool = False,
    tail: int | None = None,
    since: str = "",
    rollout: str = "",
) -> None:
    """Pass each log line of a stack's servers to ``on_line``.

    Args:
        servers: names of servers; all when none is named.
        on_line: takes a line without its newline.
        directory: where the stack was brought up; by default the working directory.
        follow: continue with new lines until Ctrl-C.
        tail: only the last N lines of each server.
        since: only lines since then, such as ``10m`` (containers only).
        rollout: only lines of the rollout ``TASK:REPEAT``, in order of time unless ``follow``.

    Raises:
        InputError: no stack was brought up there, it has no such server, or ``rollout`` is not ``TASK:REPEAT``.
        EngineError: its engine does not answer.
    """
    directory = stack_directory(directory)
    state = load_state(directory)
    names = [server.name for server in state.servers]
    for name in servers:
        if name in [server.name for server in state.outside]:
            raise InputError(f"{name} runs elsewhere; gymctl has no log of it", "look where it was started")
        if name not in names:
            raise InputError(f"the stack has no server {name!r}", f"servers: {', '.join(names)}")
    engine = engine_of(directory)
    if not rollout:
        engine.logs(servers, on_line, follow=follow, tail=tail, since=since)
        return
    zone: datetime.tzinfo | None = datetime.UTC
    if state.engine == "local":
        zone = None  # of this machine
    selection = RolloutLines(rollout, zone)
    if follow:
        engine.logs(servers, lambda line: selection.pass_on(line, on_line), follow=True, tail=tail, since=since)
        return
    engine.logs(servers, selection.add, follow=False, tail=tail, since=since)
    for line in selection.in_order():
        on_line(line)


def scale(
    counts: Mapping[str, int],
    *,
    directory: Path | None = None,
    timeout: float = SCALE_TIMEOUT_S,
    on_event: OnServer = ignore,
) -> None:
    """Change the number of replicas of running servers, and wait until the new ones are healthy.

    The next ``up`` returns to ``replicas:`` of the configuration.

    Args:
        counts: number of replicas by server name.
        directory: where the stack was brought up; by default the working directory.
        timeout: seconds to wait for new replicas to become healthy, and for old ones to finish their requests.
        on_event: takes the states of replicas that start.

    Raises:
        InputError: no stack was brought up there, or a server cannot have that many replicas.
        EngineError: a replica did not become healthy.
    """
    directory = stack_directory(directory)
    engine = engine_of(directory)
    with stack_change(directory, "gymctl scale") as detail:
        engine.scale(counts, timeout=timeout, on_event=on_event)
        detail.text = ", ".join(f"{name}={count}" for name, count in counts.items())


def down(directory: Path | None = None, *, volumes: bool = False) -> Removed:
    """Stop a directory's stack and remove its containers, networks, secrets, state and rendered file.

    What was collected stays. ``volumes``: remove named volumes too.

    Raises:
        InputError: no stack was brought up there.
        EngineError: its engine does not answer, or something could not be removed.
    """
    directory = stack_directory(directory)
    engine = engine_of(directory)
    with change_lock(directory, "gymctl down"):
        return engine.down(volumes=volumes)
