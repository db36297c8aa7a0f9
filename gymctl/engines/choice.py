"""Which engine runs the stack of a directory: the one place that asks."""

from __future__ import annotations

from pathlib import Path

from gymctl.engines.compose import ComposeEngine
from gymctl.engines.local_control import LocalEngine
from gymctl.engines.state import load_state


def engine_of(directory: Path) -> ComposeEngine | LocalEngine:
    """The engine that the directory's stack was brought up with.

    Raises:
        InputError: no stack was brought up there.
    """
    return LocalEngine(directory) if load_state(directory).engine == "local" else ComposeEngine(directory)
