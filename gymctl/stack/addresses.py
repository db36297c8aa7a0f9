"""Addresses of servers inside the network of a stack of containers."""

from __future__ import annotations

from gymctl.config import Config, ServerKind
from gymctl.config.vocabulary import HEAD_NAME
from gymctl.stack.service_names import HEAD_SERVICE, service_names
from gymctl.stack.slices.host_gateway import GATEWAY
from gymctl.stack.slices.slices import Address

_PORTS = {ServerKind.RESOURCES: 8080, ServerKind.AGENT: 8081, ServerKind.MODEL: 8000, ServerKind.ENVIRONMENT: 8082}


def container_addresses(config: Config, stack: str = "") -> dict[str, Address]:
    """Every server under its service name, bound to all interfaces of its container; ``head_server`` too.

    A server that runs elsewhere is where it is.

    Containers have an address each, so that the same port serves many; a ``host`` in the configuration is not used.
    """
    names = service_names(config.started, stack)
    addresses = {
        name: Address(names[name], server.port or _PORTS[server.kind]) for name, server in config.started.items()
    }
    addresses |= {name: Address.of(server.at, GATEWAY) for name, server in config.servers.items() if server.at}
    return {HEAD_NAME: Address(HEAD_SERVICE, config.head.port), **addresses}
