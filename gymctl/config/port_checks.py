"""The ports of this machine that a stack of containers publishes: no two of its services may have one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gymctl.config.blocks.ray import RayBlock
from gymctl.config.diagnostics import Findings, KeyPath
from gymctl.config.model import Head, ServerInstance
from gymctl.config.vllm.served_model import VllmBlock
from gymctl.config.vocabulary import RAY_BLOCK, Role, is_this_machine
from gymctl.errors import ErrorCode


def check_published(
    servers: Iterable[ServerInstance],
    head: Head,
    blocks: Iterable[VllmBlock],
    ray: RayBlock | None,
    findings: Findings,
    role: Role,
) -> None:
    """The head, the instances of ``vllm`` blocks and Ray's dashboard, in that order, each on a port of its own.

    ``ray`` is the stack's own cluster, if it has one.

    Servers that name hosts are of several machines, and who is beside whom shows only when one machine's file is made.
    """
    if not all(server.at or is_this_machine(server.host) for server in servers):
        return
    taken = {}
    if role is Role.ALL or (role is not Role.WORKER and is_this_machine(head.host)):
        taken[head.port] = "the head server"
    for title, path, port in _published_ports(blocks, ray):
        if port in taken:
            problem = f"{title}: port {port} of this machine is already used by {taken[port]}"
            findings.problem(path, problem, "choose another port", ErrorCode.PORT_REPEATED)
        taken.setdefault(port, title)


def _published_ports(blocks: Iterable[VllmBlock], ray: RayBlock | None) -> Iterator[tuple[str, KeyPath, int]]:
    """Each published port: its owner, the key that sets it, and the port."""
    for block in blocks:
        for index, service in enumerate(block.services if block.port else ()):
            yield service, (*block.path, "port"), (block.port or 0) + index
    if ray is not None and ray.dashboard_port:
        yield "ray.dashboard", (RAY_BLOCK, "dashboard"), ray.dashboard_port
