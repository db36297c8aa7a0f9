"""Where the servers of the local engine listen: a host and a port for each."""

from __future__ import annotations

import os
import socket

from gymctl.config import Config, upstream
from gymctl.config.exposure import NOT_EXPOSED, Exposure
from gymctl.config.vocabulary import EVERY_INTERFACE_HOSTS, HEAD_NAME, LOOPBACK, NODE_KEY
from gymctl.engines.local.machines import check_reachable
from gymctl.errors import EngineError
from gymctl.stack.slices.slices import Address


def plan_addresses(config: Config, exposure: Exposure = NOT_EXPOSED) -> dict[str, Address]:
    """A host and port for every server and for ``head_server``; free ports where the configuration gives none.

    Exposed servers without a ``host`` listen where the head does.

    An address of another machine (a ``host`` from a multi-node configuration) is served on the loopback one here.
    """
    member = config.membership
    default = str(config.values.get("default_host") or (member and member.advertise) or LOOPBACK)
    head_host = config.head.host or default
    ports = _Ports(config)
    if config.is_worker:  # the head is another machine's; the node server listens for this one alone
        addresses = {
            HEAD_NAME: Address(head_host, config.head.port),
            NODE_KEY: _address(LOOPBACK, ports.take(None)),
        }
    else:
        addresses = {HEAD_NAME: _address(head_host, config.head.port)}
    addresses |= {name: Address.of(server.at) for name, server in config.servers.items() if server.at}
    for name, server in config.started.items():
        usual = default
        if name in exposure.servers:
            usual = head_host
        addresses[name] = _address(server.host or usual, ports.take(server.port))
    if member is not None:
        check_reachable(config, addresses)
    return addresses


class _Ports:
    """Ports that servers of ``config`` may get: those of its range that nothing uses."""

    def __init__(self, config: Config) -> None:
        values = {**upstream.DEFAULT.defaults, **{key: value for key, value in config.values.items() if value}}
        self._low = int(values["port_range_low"])
        self._high = int(values["port_range_high"])
        configured = {server.port for server in config.started.values() if server.port}
        self._taken = {*configured, config.head.port, *(config.values.get("disallowed_ports") or ())}

    def take(self, configured: int | None) -> int:
        """The configured port, or a free one that no other server gets."""
        port = configured or _free_port(self._low, self._high, self._taken)
        self._taken.add(port)
        return port


def _address(host: str, port: int) -> Address:
    """Bind ``host`` where this machine has it; a server that binds every interface is dialled on the loopback one."""
    try:
        with socket.socket() as probe:
            probe.bind((host, 0))
    except OSError:
        host = LOOPBACK
    return Address(LOOPBACK if host in EVERY_INTERFACE_HOSTS else host, port, bind=host)


def _free_port(low: int, high: int, taken: set[int]) -> int:
    # two stacks that start at once begin their search at different ports
    first = os.getpid() * 61 % (high - low + 1)
    for offset in range(high - low + 1):
        port = low + (first + offset) % (high - low + 1)
        if port not in taken:
            with socket.socket() as probe:
                try:
                    probe.bind((LOOPBACK, port))
                except OSError:
                    continue
                return port
    raise EngineError(f"no free port from {low} to {high}", "widen the range with +port_range_low and +port_range_high")
