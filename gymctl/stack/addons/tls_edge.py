"""The edge with TLS: one published port of a stack for clients that send a token, such as a trainer elsewhere.

It leads to the head and, below ``/servers/NAME``, to servers of the stack. Clients of NeMo Gym can send neither a token
nor a path before theirs: for them ``--expose`` publishes each server on a port of its own (``edge.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from gymctl.config import Config
from gymctl.config.blocks.edge import EdgeKeys, edge_selection
from gymctl.config.blocks.hop_tokens import secret_name
from gymctl.config.exposure import Exposure, exposed_servers
from gymctl.config.vocabulary import (
    EDGE_BLOCK,
    EDGE_CERTIFICATE,
    EDGE_PORT,
    EDGE_TOKEN,
    EVERY_INTERFACE,
    HEAD_NAME,
)
from gymctl.errors import InputError, Problem
from gymctl.stack.addons.edge import COOKIE, Edge, edge_service
from gymctl.stack.addons.haproxy import ProxyTarget, Stickiness, render_proxy
from gymctl.stack.images import ImageChoice
from gymctl.stack.placement import node_placement
from gymctl.stack.service import ServicePlan
from gymctl.stack.service_names import EDGE_SERVICE, HEAD_SERVICE
from gymctl.stack.slices.slices import Address

_SECRETS = "/run/secrets"
# the token is in the environment of HAProxy's process, and not in what `docker inspect` shows
_START = (
    f'{EDGE_TOKEN}="$(cat {_SECRETS}/{EDGE_TOKEN})"; export {EDGE_TOKEN}; '
    'printf %s "$GYMCTL_PROXY" > /tmp/haproxy.cfg && exec haproxy -db -f /tmp/haproxy.cfg'
)


@dataclass(frozen=True)
class EdgeIdentity:
    """What clients know an edge by, and what it knows them by."""

    token: str = field(repr=False)
    """What clients must send."""
    certificate: str = field(repr=False)
    """In PEM: the certificate, its chain and its private key."""
    token_file: str
    """Where a user reads the token."""
    ca_file: str = ""
    """Where a user reads the certificate of the CA that gymctl created; empty: the certificate is the user's own."""
    machine: str = "localhost"
    """What notes call the machine of an edge without `names` that is published on all addresses."""


class TlsEdge:
    """The proxy of a configuration's ``edge``."""

    def __init__(
        self, config: Config, addresses: Mapping[str, Address], keys: EdgeKeys, identity: EdgeIdentity
    ) -> None:
        """``addresses`` are those inside the stack's network, the head's port is the configuration's."""
        self._config = config
        self._addresses = addresses
        self._keys = keys
        self._identity = identity
        self.secrets = {EDGE_TOKEN: identity.token, EDGE_CERTIFICATE: identity.certificate}
        """Environment name and value of what the proxy reads from files."""

    def problems(self) -> Iterator[Problem]:
        """Names of servers that are wrong."""
        try:
            self._servers()
        except InputError as error:
            where = self._config.origins.of((EDGE_BLOCK, "servers"))
            yield Problem(str(where or ""), error.message, error.hint)

    def _servers(self) -> tuple[str, ...]:
        kinds = [server.kind for server in self._config.started.values()]
        return exposed_servers(self._config, edge_selection(self._keys, kinds), "edge.servers:")

    def services(self, choice: ImageChoice) -> tuple[ServicePlan, ...]:
        """The proxy."""
        proxy = edge_service(choice, self._configuration(), EDGE_PORT, self._servers())
        published = ((self._keys.address, self._keys.port, EDGE_PORT),)
        proxy = replace(proxy, command=("sh", "-c", _START), secrets=tuple(self.secrets), published=published)
        # clients know it by its node, as they do the head
        return (replace(proxy, placement=node_placement(self._config.placements.of("head"))),)

    def _configuration(self) -> str:
        """HAProxy's configuration."""
        servers = self._servers()
        return render_proxy(
            "tls_edge.cfg.j2",
            COOKIE,
            port=EDGE_PORT,
            certificate=f"{_SECRETS}/{EDGE_CERTIFICATE}",
            token=EDGE_TOKEN,
            rate_limit=self._keys.rate_limit,
            clients=self._keys.clients,
            head=ProxyTarget(HEAD_SERVICE, HEAD_SERVICE, self._config.head.port, Stickiness.NEVER),
            targets=[self._target(name) for name in servers],
            paths={name: re.escape(quote(name, safe="")) for name in servers},
            tokens=f"{_SECRETS}/{secret_name(EDGE_SERVICE)}" if self._config.tokens else "",
            names={name: quote(name, safe="") for name in (HEAD_NAME, *servers)},
            head_name=HEAD_NAME,
        )

    def _target(self, name: str) -> ProxyTarget:
        address = self._addresses[name]
        kind = self._config.started[name].kind
        return ProxyTarget.of(kind, server=name, service=address.host, port=address.port)

    def add_to_head(self, data: dict[str, Any]) -> None:
        """Nothing: clients of the edge add a path and a token to the addresses that the head lists."""

    def notes(self) -> Iterator[str]:
        """Where the edge is, and what clients need."""
        url = f"https://{self._host()}:{self._keys.port}"
        trust = f" --cacert {self._identity.ca_file}" if self._identity.ca_file else ""
        yield f'edge: curl{trust} -H "Authorization: Bearer $(cat {self._identity.token_file})" {url}/server_instances'
        for name in self._servers():
            yield f"edge: {name} is at {url}/servers/{quote(name, safe='')}"

    def _host(self) -> str:
        """A name by which clients call the edge."""
        if self._keys.names:
            return self._keys.names[0]
        if self._keys.address == EVERY_INTERFACE:
            return self._identity.machine
        return self._keys.address


StackEdge = Edge | TlsEdge


def stack_edge(
    config: Config, addresses: Mapping[str, Address], exposure: Exposure, host: str, identity: EdgeIdentity | None
) -> StackEdge:
    """The edge of a stack: with TLS where the configuration has an ``edge``, else the one of ``--expose``.

    Args:
        config: the configuration.
        addresses: addresses inside the stack's network.
        exposure: servers that are published without TLS.
        host: address of this machine to publish those on.
        identity: of the edge with TLS; None: the stack does not have one.
    """
    if config.edge is None or identity is None:
        return Edge(config, addresses, exposure, host)
    return TlsEdge(config, addresses, config.edge, identity)
