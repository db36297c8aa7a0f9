"""Give every server the placement and the limits that hold for it, and whether it needs Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gymctl.config.container_settings import CONTAINER_KEYS, read_container
from gymctl.config.diagnostics import Findings, KeyPath, dotted
from gymctl.config.model import Config, ServerInstance
from gymctl.config.placement import Placements, read_placement, read_resources
from gymctl.config.ray import NEEDS_KEY
from gymctl.config.server_code import implementation_of
from gymctl.config.vocabulary import RAY_ADDRESS_KEY, ServerKind
from gymctl.config.wording import listing

_GROUP_OF = {ServerKind.MODEL: "models", ServerKind.AGENT: "agents", ServerKind.RESOURCES: "resources"}


def place_servers(
    servers: Mapping[str, ServerInstance],
    resolved: Mapping[str, Any],
    placements: Placements,
    cwd: Path,
    findings: Findings,
) -> dict[str, ServerInstance]:
    """The servers with placement, limits, ``needs_ray`` and their container's settings filled in.

    What is wrong with one becomes problems. Paths of volumes are relative to ``cwd``.

    The keys may stand in a server's fields or beside its kind key.
    """
    placed = {}
    for name, server in servers.items():
        own = read_placement(*_found(server, resolved, "placement"), findings)
        wanted, place = _found(server, resolved, "resources")
        limits = read_resources(wanted, place, findings)
        placement = placements.of(_GROUP_OF[server.kind], own)
        if placement and placement.gpu is False and limits and limits.gpus:
            what = f"{name} asks for GPUs, and its placement is gpu: false"
            findings.problem((*place, "gpus"), what, "leave one of them out")
        needs, place = _found(server, resolved, NEEDS_KEY)
        if needs is not None and not isinstance(needs, bool):
            findings.problem(place, f"{dotted(place)} is {needs!r}", "it must be true or false")
        container = read_container({key: _found(server, resolved, key) for key in CONTAINER_KEYS}, cwd, findings)
        placed[name] = replace(server, placement=placement, limits=limits, needs_ray=needs is True, container=container)
    return placed


def _found(server: ServerInstance, resolved: Mapping[str, Any], key: str) -> tuple[Any, KeyPath]:
    """The value of a key, and where it stands; nothing where the server's own code has a field of that name."""
    own = implementation_of(server.folder, server.entrypoint) if server.folder and key in server.fields else None
    if key in server.fields and not (own and key in own.fields):
        return server.fields[key], (*server.path, key)
    return resolved[server.name].get(key), (server.name, key)


def without_effect(config: Config) -> Iterator[str]:
    """What servers ask for and one process cannot give."""
    servers = config.servers.items()
    if placed := [name for name, server in servers if server.placement or server.limits]:
        yield f"placement and resources ({listing(placed)}) have no effect in one process"
    if replicated := [name for name, server in servers if server.replicas > 1]:
        yield f"replicas ({listing(replicated)}) have no effect in one process, which has each server once"
    if several := [name for name, server in servers if (server.num_workers or 1) > 1]:
        yield f"num_workers ({listing(several)}) has no effect in one process"
    if contained := [name for name, server in servers if server.container]:
        yield f"{', '.join(CONTAINER_KEYS)} ({listing(contained)}) have no effect in one process"
    if needing := [name for name, server in servers if server.needs_ray]:
        yield f"needs_ray ({listing(needing)}) has no effect in one process: checks run in processes beside it"
    if config.ray is not None and not config.values.get(RAY_ADDRESS_KEY):
        yield "ray has no effect in one process: checks run in processes beside it, and no cluster is started"
