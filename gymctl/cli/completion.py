"""What the shell completes: names from the running stack of this directory, and from the folders around it.

Nothing here raises or prints: a directory without a stack has nothing to complete.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gymctl.engines.state import StackState


def servers(incomplete: str) -> list[str]:
    """Servers of the running stack."""
    return [name for name, _ in _servers() if name.startswith(incomplete)]


def agents(incomplete: str) -> list[str]:
    """Agents of the running stack."""
    return [name for name, kind in _servers() if kind == "responses_api_agents" and name.startswith(incomplete)]


def replica_counts(incomplete: str) -> list[str]:
    """``SERVER=`` for every server of the running stack that can have replicas."""
    state = _state()
    if state:
        several = [server.name for server in state.servers if not server.single]
    else:
        several = []
    return [f"{name}=" for name in several if name.startswith(incomplete)]


def stack_names(incomplete: str) -> list[str]:
    """The name of this directory's stack."""
    state = _state()
    if state and state.name.startswith(incomplete):
        return [state.name]
    return []


def environments(incomplete: str) -> list[str]:
    """Environments of this directory, and the bundled ones."""
    from gymctl import assets

    folders = (Path("resources_servers"), assets.folder("services") / "resources_servers")
    names = {path.parent.name for folder in folders for path in folder.glob("*/app.py")}
    return sorted(name for name in names if name.startswith(incomplete))


def config_paths(incomplete: str) -> list[str]:
    """Dotted paths of the configuration in this directory, one level below what is typed."""
    from gymctl.errors import GymctlError
    from gymctl.operations.configuration import load

    try:
        config = load(".")
    except GymctlError:
        return []
    above, dot, _ = incomplete.rpartition(".")
    value = config.resolved
    for key in above.split(".") if above else ():
        inner = value.get(key)
        if not isinstance(inner, dict):
            return []
        value = inner
    return [f"{above}{dot}{key}" for key in value if f"{above}{dot}{key}".startswith(incomplete)]


def _servers() -> list[tuple[str, str]]:
    """Name and kind of each server of the running stack."""
    state = _state()
    if state:
        return [(server.name, server.kind) for server in state.servers]
    return []


def _state() -> StackState | None:
    from gymctl.engines.stack_directory import stack_directory
    from gymctl.engines.state import find_state
    from gymctl.errors import GymctlError

    try:
        return find_state(stack_directory())
    except GymctlError:
        return None
