"""Give every server the placement that holds for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from gymctl.config.container_settings import CONTAINER_KEYS
from gymctl.config.diagnostics import Findings, KeyPath
from gymctl.config.model import Config, ServerInstance
from gymctl.config.placement import Placements
from gymctl.config.vocabulary import RAY_ADDRESS_KEY, ServerKind
from gymctl.config.wording import listing

_GROUP_OF = {
    ServerKind.MODEL: "models",
    ServerKind.AGENT: "agents",
    ServerKind.RESOURCES: "resources",
    ServerKind.ENVIRONMENT: "agents",
}


def place_servers(
    servers: Mapping[str, ServerInstance], placements: Placements, cwd: Path, findings: Findings
) -> dict[str, ServerInstance]:
    """The servers with the effective placement of each: its own, then its group's, then the stack's.

    Paths of volumes become absolute; they are relative to ``cwd``.
    """
    placed = {}
    for name, server in servers.items():
        placement = placements.of(_GROUP_OF[server.kind], server.placement)
        if placement and placement.gpu is False and server.limits and server.limits.gpus:
            path: KeyPath = (*server.path, "resources", "gpus")
            if "resources" not in server.fields:
                path = (name, "resources", "gpus")
            what = f"{name} requests GPUs, but its placement is gpu: false"
            findings.problem(path, what, "remove one of them")
        if server.container:
            container = server.container.below(cwd)
        else:
            container = None
        placed[name] = replace(server, placement=placement, container=container)
    return placed


def without_effect(config: Config) -> Iterator[str]:
    """What servers ask for and one process cannot give."""
    servers = config.servers.items()
    if placed := [name for name, server in servers if server.placement or server.limits]:
        yield f"placement and resources ({listing(placed)}) have no effect with the local engine"
    if replicated := [name for name, server in servers if server.replicas > 1]:
        yield f"replicas ({listing(replicated)}) have no effect with the local engine, which runs one of each server"
    if several := [name for name, server in servers if (server.num_workers or 1) > 1]:
        yield f"num_workers ({listing(several)}) has no effect with the local engine"
    if contained := [name for name, server in servers if server.container]:
        yield f"{', '.join(CONTAINER_KEYS)} ({listing(contained)}) have no effect with the local engine"
    if needing := [name for name, server in servers if server.needs_ray]:
        yield f"needs_ray ({listing(needing)}) has no effect with the local engine: checks run in subprocesses"
    if config.ray is not None and not config.values.get(RAY_ADDRESS_KEY):
        yield "ray has no effect with the local engine: checks run in subprocesses, and no cluster is started"
