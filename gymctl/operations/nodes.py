"""The nodes of a Swarm: list them, empty one, take it back."""

from __future__ import annotations

from pathlib import Path

from gymctl.engines.protocol import Node, OnServer
from gymctl.engines.swarm.engine import SwarmEngine
from gymctl.operations.events import ignore


def list_nodes() -> list[Node]:
    """Every node of the Swarm, managers first.

    Raises:
        EngineError: the engine does not answer, or is not a manager.
    """
    return SwarmEngine(Path.cwd()).nodes()


def drain(
    node: str, *, directory: Path | None = None, timeout: float = 180.0, on_event: OnServer = ignore
) -> tuple[str, ...]:
    """Empty a node without a gap; returns the servers of the directory's stack that moved.

    Raises:
        InputError: the node does not exist.
        EngineError: a server finds no other node; then the node is as it was.
    """
    return SwarmEngine(directory or Path.cwd()).drain(node, timeout=timeout, on_event=on_event)


def activate(node: str) -> None:
    """Let a node take tasks again.

    Raises:
        InputError: the node does not exist.
    """
    SwarmEngine(Path.cwd()).activate(node)
