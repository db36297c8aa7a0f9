"""Servers that may reach only the hosts of a list (``egress: [HOST, ...]``), each with a proxy of its own.

The server is on internal networks only; one of them is for it and its proxy. So a proxy has one server's hosts, and
needs no password to know its clients. Programs find it through ``HTTP_PROXY`` and ``HTTPS_PROXY``; what ignores these
variables reaches nothing outside of the stack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from gymctl.config import Config, ServerInstance
from gymctl.config.egress_hosts import EgressHost, is_permitted, parse_egress_host, plain_host
from gymctl.config.vocabulary import (
    EGRESS_HOSTS_VARIABLE,
    EGRESS_PROXY_PORT,
    EGRESS_PROXY_SUFFIX,
    EGRESS_PROXY_VARIABLE,
    EGRESS_SERVER_VARIABLE,
    LOOPBACK_HOSTS,
)
from gymctl.config.wording import listing
from gymctl.errors import Problem
from gymctl.stack.egress import Egress, no_proxy
from gymctl.stack.images import ImageChoice
from gymctl.stack.networks.egress_need import named_hosts
from gymctl.stack.placement import node_placement
from gymctl.stack.service import EGRESS_IMPLEMENTATION, EGRESS_KIND, ServicePlan
from gymctl.stack.service_names import HEAD_SERVICE, MOST_CHARACTERS
from gymctl.stack.slices.host_gateway import EXTRA_HOST, GATEWAY, reroute_address
from gymctl.stack.slices.slices import Address, reachable_from

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY")
_EXCEPTIONS = "NO_PROXY"
_COMMAND = ("python", "-m", "gymctl.server.egress.process")


class EgressLists:
    """The servers of a configuration that may reach only some hosts, and their proxies.

    Args:
        config: the configuration.
        addresses: of every server and of the head, inside the stack's networks.
        choice: the stack's images.
        egress: how this machine reaches the outside.
        stack: the stack's name.
    """

    def __init__(
        self, config: Config, addresses: Mapping[str, Address], choice: ImageChoice, egress: Egress, stack: str
    ) -> None:
        self._config = config
        self._addresses = addresses
        self._choice = choice
        self._egress = egress
        self._stack = stack

    def problems(self) -> Iterator[Problem]:
        """Lists that nothing would enforce: a stack on several machines has one open network."""
        if self._config.membership is None:
            return
        for server in self._config.started.values():
            if listed_hosts(server):
                where = str(self._config.origins.of((*server.path, "egress")) or server.location or "")
                problem = f"{server.name}: a list of hosts in 'egress' is not available with --role"
                yield Problem(where, problem, "run the stack on one machine or a Swarm, or remove the list")

    def apply(self, services: Sequence[ServicePlan]) -> list[ServicePlan]:
        """The services; those with a list are changed to use a proxy, which follows them."""
        taken = {service.name for service in services}
        return [planned for service in services for planned in self._planned(service, taken)]

    def _planned(self, service: ServicePlan, taken: Collection[str]) -> Iterator[ServicePlan]:
        server = self._config.servers.get(service.server)
        hosts = listed_hosts(server) if server is not None else ()
        if server is None or not hosts:
            yield service
            return
        name = _proxy_name(service.name, taken, self._stack)
        called = (HEAD_SERVICE, *service.needs, *self._called(server))
        service = self._egress.with_certificates(service)
        yield replace(
            service,
            environment=tuple({**_variables(name, called), **dict(service.environment)}.items()),
            needs=(*service.needs, name),
            extra_hosts=(),
            egress_proxy=name,
        )
        yield self._proxy(name, server, hosts, service.extra_hosts)

    def _called(self, server: ServerInstance) -> Iterator[str]:
        """The services and hosts that a server calls without a proxy."""
        for name in reachable_from(self._config.servers, server.name):
            yield self._addresses[name].host
        inside = {address.host.lower() for address in self._addresses.values()}
        for host in sorted(named_hosts(server)):
            if host in inside or _is_on_own_network(host, server):
                yield host

    def _proxy(
        self, name: str, server: ServerInstance, hosts: Sequence[EgressHost], extra_hosts: Sequence[str]
    ) -> ServicePlan:
        """The proxy of a server. Of this machine's names it knows those that are listed."""
        listed = {host.host for host in hosts}
        known = [item for item in (EXTRA_HOST, *extra_hosts) if item.partition(":")[0].lower() in listed]
        proxy = ServicePlan(
            name=name,
            kind=EGRESS_KIND,
            implementation=EGRESS_IMPLEMENTATION,
            image=self._choice.shared(),
            port=EGRESS_PROXY_PORT,
            command=_COMMAND,
            environment=(
                (EGRESS_SERVER_VARIABLE, server.name),
                (EGRESS_HOSTS_VARIABLE, " ".join(map(str, hosts))),
            ),
            used_by=(server.name,),
            extra_hosts=tuple(dict.fromkeys(known)),
            placement=node_placement(self._config.placements.of("addons")),
            single=f"it is the proxy of {server.name}",
        )
        return self._egress.with_proxies(proxy, ())

    def notes(self) -> Iterator[str]:
        """Who has a list, and hosts that settings name but the list does not."""
        for server in self._config.started.values():
            hosts = listed_hosts(server)
            if hosts:
                yield f"{server.name} can reach {listing([str(host) for host in hosts])} only, through a proxy"
            missing = sorted(self._missing(server, hosts)) if hosts else []
            if missing:
                yield f"{server.name}: its settings name {listing(missing)}, which its 'egress' does not list"

    def _missing(self, server: ServerInstance, hosts: Sequence[EgressHost]) -> Iterator[str]:
        inside = {address.host.lower() for address in self._addresses.values()}
        for name in named_hosts(server):
            host = reroute_address(name, GATEWAY) or name
            is_inside = host in inside or _is_on_own_network(host, server)
            if not is_inside and not _is_listed(host, hosts):
                yield host


def listed_hosts(server: ServerInstance) -> tuple[EgressHost, ...]:
    """The only hosts outside of the stack that a server may reach; empty: it has no list."""
    if server.container is None:
        return ()
    return tuple(parse_egress_host(text) for text in server.container.egress_hosts)


def _is_listed(host: str, hosts: Sequence[EgressHost]) -> bool:
    """Whether a list has a host, with any of the list's ports."""
    ports = {entry.port or 443 for entry in hosts}
    return any(is_permitted(hosts, plain_host(host), port) for port in ports)


def _is_on_own_network(host: str, server: ServerInstance) -> bool:
    """Whether a host may be a container on one of the server's further networks."""
    return bool(server.container and server.container.networks) and "." not in host


def _variables(proxy: str, called: Sequence[str]) -> dict[str, str]:
    """In upper and lower case: programs differ in which they read, and Docker may set either."""
    url = f"http://{proxy}:{EGRESS_PROXY_PORT}"
    values = {**dict.fromkeys(_PROXIES, url), _EXCEPTIONS: no_proxy("", (*LOOPBACK_HOSTS, *called))}
    return {**values, **{name.lower(): value for name, value in values.items()}, EGRESS_PROXY_VARIABLE: url}


def _proxy_name(service: str, taken: Collection[str], stack: str) -> str:
    """The name of a server's proxy: the server's with a suffix, or with a digest where that is too long or taken."""
    name = f"{service}{EGRESS_PROXY_SUFFIX}"
    if len(f"{stack}_{name}") <= MOST_CHARACTERS and name not in taken:
        return name
    return f"{hashlib.sha256(service.encode()).hexdigest()[:8]}{EGRESS_PROXY_SUFFIX}"
