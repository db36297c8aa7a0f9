"""The edge: a proxy that publishes servers of a stack on this machine, for clients outside of it.

NeMo Gym's clients call ``http://HOST:PORT/run`` with the host and port that the head's configuration has for a server.
They add no path before it and send no token, so that each server needs a port of its own, and the only thing that a
caller can be known by is its address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gymctl.config import Config
from gymctl.config.blocks.hop_tokens import TOKEN_HEADER
from gymctl.config.exposure import Exposure
from gymctl.config.vocabulary import (
    ALLOWED_HOSTS_KEY,
    EVERY_INTERFACE_HOSTS,
    HEAD_NAME,
    LOOPBACK_HOSTS,
    OUTSIDE_KEY,
    base_url,
)
from gymctl.config.wording import listing
from gymctl.errors import Problem
from gymctl.stack.addons.haproxy import HEALTH_PORT, ProxyTarget, render_proxy
from gymctl.stack.compose.fragments import fragment
from gymctl.stack.images import ImageChoice
from gymctl.stack.service import ServicePlan
from gymctl.stack.service_names import EDGE_SERVICE, HEAD_SERVICE
from gymctl.stack.slices.slices import Address
from gymctl.stack.worker_nodes import outer_ports

COOKIE = "gymctl-edge"
# Names that no other site can have a page at: without a dot, or of a container engine for its machine
_SAFE_NAMES = (
    r"\[[0-9a-f:.]+\]|[0-9.]+|[^.:]+|[^:]+\.localhost|(?:host|gateway)\.docker\.internal|host\.containers\.internal"
)


class Edge:
    """What clients outside of a stack may call, and where; nothing where no server is exposed."""

    def __init__(self, config: Config, addresses: Mapping[str, Address], exposure: Exposure, host: str) -> None:
        """``addresses`` are those inside the stack's network; ``host`` is this machine's to publish on."""
        self._config = config
        self._addresses = addresses
        self._exposure = exposure
        self._host = host
        inner = {name: address.port for name, address in addresses.items()}
        ports = outer_ports(config.started, config.head.port, inner)
        self.ports = {name: ports[name] for name in exposure.servers}
        """Port on this machine of each exposed server."""
        self.secrets: dict[str, str] = {}

    def problems(self) -> Iterator[Problem]:
        """Ports that the proxy needs for itself."""
        for name, port in self.ports.items():
            if port == HEALTH_PORT:
                where = str(self._config.started[name].location or "")
                yield Problem(where, f"{name}: port {port} is used by the edge's health check", "choose another port")

    def services(self, choice: ImageChoice) -> tuple[ServicePlan, ...]:
        """The proxy; none where no server is exposed."""
        if not self._exposure:
            return ()
        proxy = edge_service(choice, self._configuration(), next(iter(self.ports.values())), tuple(self.ports))
        published = tuple((self._host, port, port) for port in self.ports.values())
        return (replace(proxy, published=published, published_for=tuple(self.ports)),)

    def _configuration(self) -> str:
        """HAProxy's configuration: a port for each server, and who may call it."""
        targets = [self._target(name, port) for name, port in self.ports.items()]
        names = [*(self._config.values.get(ALLOWED_HOSTS_KEY) or ()), self._exposure.host]
        known = "|".join([_SAFE_NAMES, *(re.escape(str(name)) for name in names if name)])
        return render_proxy(
            "edge.cfg.j2",
            COOKIE,
            targets=targets,
            clients=[str(network) for network in self._exposure.clients],
            known_hosts=f"^(?:{known})(?::[0-9]+)?$",
        )

    def _target(self, name: str, port: int) -> ProxyTarget:
        address = self._addresses[name]
        kind = self._config.started[name].kind
        return ProxyTarget.of(kind, server=address.host, service=address.host, port=address.port, outer_port=port)

    def add_to_head(self, data: dict[str, Any]) -> None:
        """Add to the head's slice where clients outside reach the exposed servers."""
        if not self._exposure:
            return
        data[HEAD_NAME][OUTSIDE_KEY] = outside_entry(self.ports, self._exposure.host, HEAD_SERVICE)
        if self._exposure.host:
            names = [*(self._config.values.get(ALLOWED_HOSTS_KEY) or ()), self._exposure.host]
            data[ALLOWED_HOSTS_KEY] = list(dict.fromkeys(names))

    def notes(self) -> Iterator[str]:
        """Where the exposed servers are, and who may call them."""
        hosts = dict.fromkeys(self.ports, self._host)
        yield from exposure_notes(self._exposure, self.ports, hosts, has_tokens=self._config.tokens)


def edge_service(choice: ImageChoice, configuration: str, port: int, servers: tuple[str, ...]) -> ServicePlan:
    """The proxy of an edge, without its published ports.

    Args:
        choice: the stack's images.
        configuration: HAProxy's.
        port: a port on which it listens inside the stack's network.
        servers: names of the servers behind it.
    """
    return ServicePlan(
        name=EDGE_SERVICE,
        kind="edge",
        implementation="proxy",
        image=choice.addon("proxy"),
        port=port,
        environment=(("GYMCTL_PROXY", configuration),),
        used_by=servers,
        fragment=fragment("proxy"),
        single="it publishes ports on this machine, which only one container can use",
    )


def outside_entry(ports: Mapping[str, int], host: str, inside: str) -> dict[str, Any]:
    """What the head needs to answer clients outside of the stack.

    Args:
        ports: port of each exposed server.
        host: host that clients are given; empty: the one under which they reach the head.
        inside: the head's name within the stack; whoever calls it by that name is inside.
    """
    return {"ports": dict(ports), "host": host, "inside": inside}


def exposure_notes(
    exposure: Exposure, ports: Mapping[str, int], hosts: Mapping[str, str], *, has_tokens: bool
) -> Iterator[str]:
    """Where exposed servers are, and who may call them.

    Args:
        exposure: the exposed servers, and their clients.
        ports: port of each server.
        hosts: address that each listens on.
        has_tokens: whether calls need the token of a server.
    """
    if not exposure:
        return
    for name, port in ports.items():
        yield f"{name} is exposed {_place(hosts[name], port)}"
    if has_tokens:
        yield from (f"clients of {name} must send {TOKEN_HEADER}: see gymctl secrets token {name}" for name in ports)
    private = [name for name in ports if hosts[name] in LOOPBACK_HOSTS]
    if private and not has_tokens:
        yield f"every user of this machine can call {listing(private)}: calls need no token"
    if exposure.clients:
        networks = ", ".join(str(network) for network in exposure.clients)
        yield f"exposed servers accept calls from {networks} only{'' if has_tokens else '; calls need no token'}"


def _place(host: str, port: int) -> str:
    if host in EVERY_INTERFACE_HOSTS:
        return f"on port {port} of every interface"
    return f"at {base_url(host, port)}"
