"""Give every server its effective placement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gymctl.config.blocks.placement import Placements
from gymctl.config.diagnostics import Findings, KeyPath
from gymctl.config.model import ServerInstance
from gymctl.config.vocabulary import ServerKind

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
            problem = f"{name} requests GPUs, but its placement is gpu: false"
            findings.problem(path, problem, "remove one of them")
        if server.container:
            container = server.container.below(cwd)
        else:
            container = None
        placed[name] = replace(server, placement=placement, container=container)
    return placed
