"""The log lines of a stack's services, from whichever nodes they run on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from gymctl.config.terminal_text import plain
from gymctl.engines.runner import OnLine, background


def stream_logs(
    stack: str, servers: Sequence[str], on_line: OnLine, *, follow: bool, tail: int | None, since: str
) -> None:
    """Pass on the lines of each server, without terminal control sequences; one begins with ``server.replica@node``."""
    options = ["--no-task-ids"]
    if follow:
        options += ["--follow"]
    else:
        options += []
    if tail is not None:
        options += ["--tail", str(tail)]
    else:
        options += []
    if since:
        options += ["--since", since]
    else:
        options += []

    def pass_on(line: str) -> None:
        """Pass on a line without the stack's name, with which Swarm begins every service's name."""
        on_line(plain(line).removeprefix(f"{stack}_"))

    with ExitStack() as running:
        commands = []
        for name in servers:  # one command shows one service
            argv = ["docker", "service", "logs", *options, f"{stack}_{name}"]
            commands.append(running.enter_context(background(argv, on_line=pass_on)))
            if not follow:
                commands[-1].wait()
        for command in commands:
            command.wait()
