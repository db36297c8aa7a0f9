"""Return a stack to the version before its last update."""

from __future__ import annotations

from pathlib import Path

from gymctl.engines.collections import changed_collections
from gymctl.engines.protocol import DRAIN_TIMEOUT_S, OnServer
from gymctl.engines.saved_stack import keep_as_previous, read_previous, read_stack
from gymctl.engines.stack_directory import stack_directory
from gymctl.engines.state import StackState, load_state
from gymctl.errors import InputError
from gymctl.operations.change_summary import changes_between
from gymctl.operations.events import ignore
from gymctl.operations.stack_change import stack_change

ROLLBACK_TIMEOUT_S = 180.0


def rollback(
    *,
    directory: Path | None = None,
    timeout: float = ROLLBACK_TIMEOUT_S,
    drain: float = DRAIN_TIMEOUT_S,
    while_collecting: bool = False,
    on_event: OnServer = ignore,
) -> tuple[StackState, str]:
    """Return a stack of Compose to the rendered file, images and secrets that it had before its last update.

    A second call returns to the version that the first one has replaced.

    Args:
        directory: where the stack was brought up; by default the working directory.
        timeout: seconds to wait until every server is healthy.
        drain: seconds that containers of the present version may take to finish their work.
        while_collecting: change the stack although a collection runs from it.
        on_event: takes the states of servers.

    Returns:
        The stack that runs then, and what has been done to how many servers.

    Raises:
        InputError: no stack was brought up there, it is not one of Compose, or it has no earlier version.
        EngineError: a server of the earlier version did not become healthy, and the present version continues; or an
            image is gone, or a collection runs.
    """
    from gymctl.engines.compose.engine import ComposeEngine
    from gymctl.engines.compose.rollback import roll_back

    directory = stack_directory(directory)
    state = load_state(directory)
    if state.engine != "compose":
        raise InputError(
            f"the stack {state.name} runs {state.where}; gymctl rollback supports only --engine compose",
            "run gymctl up with the earlier configuration",
        )
    with stack_change(directory, "gymctl rollback") as detail:
        running = read_stack(directory)
        previous = read_previous(directory)
        if running is None or previous is None:
            raise InputError(
                f"the stack {state.name} has no earlier version", "one is kept when gymctl up changes a running stack"
            )
        earlier = previous.state
        changed_collections(directory, state, earlier.config_digest, dict(earlier.code), allowed=while_collecting)
        engine = ComposeEngine(directory)
        before = engine.containers(state.name)
        roll_back(directory, running, previous, timeout=timeout, drain_timeout=drain, on_event=on_event)
        keep_as_previous(directory, running)
        detail.text = changes_between(before, engine.containers(state.name))[0]
    return previous.state, detail.text
