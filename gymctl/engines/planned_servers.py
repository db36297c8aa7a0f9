"""Planned services as the state of a stack has them: under the names of their servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gymctl.engines.server_address import ServerAddress

if TYPE_CHECKING:
    from gymctl.stack import ServicePlan, StackPlan


def planned_servers(plan: StackPlan) -> tuple[ServerAddress, ...]:
    """Where each server is reached: the head from this machine, the others inside the stack's network."""
    addresses = (plan.head_url if service.kind == "head" else service.address for service in plan.services)
    return tuple(server_address(service, address) for service, address in zip(plan.services, addresses, strict=True))


def server_address(service: ServicePlan, address: str) -> ServerAddress:
    """A planned service as the state of a stack has it."""
    return ServerAddress(
        name=service.title,
        kind=str(service.kind),
        implementation=service.implementation,
        address=address,
        replicas=service.replicas,
        single=service.single,
        service="" if service.title == service.name else service.name,
    )


def with_server_name(line: str, renamed: Mapping[str, str]) -> str:
    """A line of Compose, which begins with ``SERVICE-NUMBER``, with the name of the server instead."""
    container, separator, text = line.partition("|")
    service, _, number = container.rstrip().rpartition("-")
    if service in renamed:
        return f"{renamed[service]}-{number}  {separator}{text}"
    return line
