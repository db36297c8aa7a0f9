"""Which engine runs the stack of a directory: the one place that asks."""

from __future__ import annotations

from pathlib import Path

from gymctl.engines.protocol import Engine
from gymctl.engines.state import load_state


def engine_of(directory: Path) -> Engine:
    """The engine that the directory's stack was brought up with; only its own modules are imported.

    Raises:
        InputError: no stack was brought up there.
    """
    engine = load_state(directory).engine
    if engine == "local":
        from gymctl.engines.local.engine import LocalEngine

        return LocalEngine(directory)
    if engine == "swarm":
        from gymctl.engines.swarm.engine import SwarmEngine

        return SwarmEngine(directory)
    from gymctl.engines.compose.engine import ComposeEngine

    return ComposeEngine(directory)
