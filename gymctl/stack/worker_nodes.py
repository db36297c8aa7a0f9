"""A stack on several machines: what this one publishes for the others, and the server that registers it with the head.

With a role, ``host`` in a server's entry means what it says: others reach the server there, so it is published there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from gymctl.config import Config, ServerInstance
from gymctl.config.vocabulary import (
    ALLOWED_HOSTS_KEY,
    EVERY_INTERFACE,
    EVERY_INTERFACE_HOSTS,
    HEAD_NAME,
    HEAD_TOKEN,
    LOOPBACK_HOSTS,
    NODE_KEY,
    REMOTE_KEY,
    base_url,
)
from gymctl.errors import Problem
from gymctl.stack.runtime import Runtime, Runtimes
from gymctl.stack.service import ServicePlan
from gymctl.stack.service_names import NODE_SERVICE
from gymctl.stack.slices.host_gateway import EXTRA_HOST, GATEWAY
from gymctl.stack.slices.interpolation import dump_slice, escape_all
from gymctl.stack.slices.slices import Address

_TOKEN_REFERENCE = f"${{oc.env:{HEAD_TOKEN}}}"


class Machines:
    """This machine's part in a stack on several; nothing where the stack is on one alone."""

    def __init__(self, config: Config, addresses: Mapping[str, Address]) -> None:
        """``addresses`` are those inside the stack's network; other machines dial the same ports."""
        self._config = config
        self._addresses = addresses
        self._member = config.membership
        self.is_worker = config.is_worker
        inner = {name: address.port for name, address in addresses.items()}
        self._ports = outer_ports(config.started, config.head.port, inner)

    @property
    def head(self) -> Address | None:
        """The address at which this machine's containers dial another machine's head; None: the head is here."""
        if not self.is_worker:
            return None
        host = self._config.head.host or ""
        return Address(GATEWAY if host in LOOPBACK_HOSTS else host, self._config.head.port)

    @property
    def secrets(self) -> Mapping[str, str]:
        """The token, for the head or the node."""
        if self._member:
            return {HEAD_TOKEN: self._member.token}
        return {}

    def problems(self, runtimes: Runtimes) -> Iterator[Problem]:
        """Missing addresses that other machines need; servers that cannot find those of other machines."""
        if self._member is None:
            return
        if self.is_worker and self._config.head.host in (None, *EVERY_INTERFACE_HOSTS):
            hint = "set head_server.host to the coordinator's address"
            yield Problem("", "a worker needs the address of the head", hint)
        for server in self._config.started.values():
            where = str(server.location or "")
            if self.is_worker and self.url(server) is None:
                hint = "set its `host:` to this machine's address, or use --advertise ADDRESS for all servers"
                yield Problem(where, f"{server.name}: other machines have no address for it", hint)
            away = [item.name for item in server.references if item.name in self._config.remote]
            if away and runtimes.of(server.name) is Runtime.NEMO_GYM:
                hint = f"run {server.name} on the machine that has {away[0]}, or use gymctl's own server"
                problem = f"{server.name} runs on NeMo Gym, which cannot look up {away[0]}, a server of another machine"
                yield Problem(where, problem, hint)

    def url(self, server: ServerInstance) -> str | None:
        """Where other machines dial a server of this one; None when they are not meant to."""
        host = self._host(server)
        if host:
            return base_url(host, self._ports[server.name])
        return None

    def published(self, server: ServerInstance) -> tuple[tuple[str, int, int], ...]:
        """What to publish for a server: its own address, or every interface where that is a name."""
        host = self._host(server)
        if host:
            return ((_bindable(host), self._ports[server.name], self._addresses[server.name].port),)
        return ()

    def added(self) -> Mapping[str, Mapping[str, Any]]:
        """What slices get on top of the configuration's: the servers of other machines, and the host they dial."""
        remote = {name: kind.value for name, kind in self._config.remote.items()}
        added: dict[str, dict[str, Any]] = {name: {} for name in self._config.started}
        for server in self._config.started.values():
            if any(item.name in remote for item in server.references):
                added[server.name][REMOTE_KEY] = remote
            if host := self._host(server):
                added[server.name][ALLOWED_HOSTS_KEY] = self._allowed_hosts(host)
        return {name: values for name, values in added.items() if values}

    def _allowed_hosts(self, host: str) -> list[str]:
        """The names by which a server can be reached, with the one that other machines dial."""
        return list(dict.fromkeys([*(self._config.values.get(ALLOWED_HOSTS_KEY) or ()), host]))

    def with_token(self, head: ServicePlan, slice_data: dict[str, Any]) -> ServicePlan:
        """The head as one that takes registrations from those who have the token."""
        if self._member is None:
            return head
        slice_data[HEAD_NAME]["token"] = _TOKEN_REFERENCE
        if host := self._config.head.host or self._member.advertise:
            slice_data[ALLOWED_HOSTS_KEY] = self._allowed_hosts(host)
        return replace(head, slice_text=dump_slice(slice_data), secrets=(*head.secrets, HEAD_TOKEN))

    def node(self, image: str, working_dir: str, port: int) -> ServicePlan:
        """The server that registers this machine's servers with the head, and keeps saying that they are there."""
        assert self._member is not None and self.head is not None  # noqa: S101 - asked of workers only
        entries = {
            name: {server.kind.value: {server.implementation: self._inner(server)}}
            for name, server in self._config.started.items()
        }
        data: dict[str, Any] = escape_all({**entries, NODE_KEY: node_fields(self._config, self.head, self.url)})
        data[NODE_KEY] |= {"host": EVERY_INTERFACE, "port": port, "token": _TOKEN_REFERENCE}
        return ServicePlan(
            name=NODE_SERVICE,
            kind="node",
            implementation="node",
            image=image,
            port=port,
            slice_text=dump_slice(data),
            config_path=NODE_KEY,
            command=("python", "app.py"),
            working_dir=working_dir,
            secrets=(HEAD_TOKEN,),
            extra_hosts=(EXTRA_HOST,) if self.head.host == GATEWAY else (),
        )

    def notes(self) -> Iterator[str]:
        """The ports that are open to other machines, and their callers."""
        if self._member is None:
            return
        wide = [name for name, server in self._config.started.items() if self._is_wide(server)]
        if wide:
            yield f"{', '.join(wide)}: `host` is a name, so the port is published on every interface of this machine"
        if self._config.remote:
            yield f"{', '.join(self._config.remote)}: servers of other machines, found through the head"

    def _is_wide(self, server: ServerInstance) -> bool:
        host = self._host(server)
        return host is not None and _bindable(host) == EVERY_INTERFACE

    def _inner(self, server: ServerInstance) -> dict[str, Any]:
        address = self._addresses[server.name]
        return {"entrypoint": server.entrypoint, "host": address.host, "port": address.port}

    def _host(self, server: ServerInstance) -> str | None:
        if self._member is None:
            return None
        if server.host not in (None, *LOOPBACK_HOSTS, *EVERY_INTERFACE_HOSTS):
            host = server.host
        else:
            host = None
        return host or self._member.advertise


def outer_ports(servers: Mapping[str, ServerInstance], head_port: int, ports: Mapping[str, int]) -> dict[str, int]:
    """One port of a machine for each of its servers: the one it is given, or the next free one after its kind's.

    ``ports`` are those inside the containers, where every server may have its kind's.
    """
    taken = {server.port for server in servers.values() if server.port} | {head_port}
    outer = {}
    for name, server in servers.items():
        port = server.port or ports[name]
        while not server.port and port in taken:
            port += 1
        taken.add(port)
        outer[name] = port
    return outer


def node_fields(config: Config, head: Address, url_of: Callable[[ServerInstance], str | None]) -> dict[str, Any]:
    """Configuration of a worker's node server without its address and the token: servers to register, and the head."""
    assert config.membership is not None  # noqa: S101 - asked of workers only
    servers = [
        {
            "name": name,
            "kind": server.kind.value,
            "implementation": server.implementation,
            "entrypoint": server.entrypoint,
            "url": url_of(server),
        }
        for name, server in config.started.items()
    ]
    return {"node": config.membership.node, "head": head.url, "servers": servers}


def _bindable(host: str) -> str:
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return EVERY_INTERFACE
