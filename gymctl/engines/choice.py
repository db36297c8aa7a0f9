"""Which engine runs the stack of a directory: the one place that asks."""

from __future__ import annotations

from pathlib import Path

from gymctl.engines.compose.engine import ComposeEngine
from gymctl.engines.local.engine import LocalEngine
from gymctl.engines.protocol import Engine
from gymctl.engines.state import load_state
from gymctl.engines.swarm.engine import SwarmEngine


def engine_of(directory: Path) -> Engine:
    """The engine that the directory's stack was brought up with.

    Raises:
        InputError: no stack was brought up there.
    """
    engine = load_state(directory).engine
    if engine == "local":
        return LocalEngine(directory)
    if engine == "swarm":
        return SwarmEngine(directory)
    return ComposeEngine(directory)
