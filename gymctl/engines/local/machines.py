"""The local engine's part in a stack on several machines: addresses that others dial, and the way to their servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gymctl.config import Config, ServerInstance
from gymctl.config.vocabulary import HEAD_NAME, LOOPBACK, LOOPBACK_HOSTS, NODE_KEY
from gymctl.errors import ConfigError, Problem
from gymctl.stack.slices.slices import Address
from gymctl.stack.worker_nodes import node_fields

if TYPE_CHECKING:
    from gymctl.server import Server
    from gymctl.server.calls.client import Transport


def check_reachable(config: Config, addresses: Mapping[str, Address]) -> None:
    """Check that what was bound can be dialed by other machines, if this one has a role.

    Raises:
        ConfigError: a server's address is not this machine's, or it has none that others could dial.
    """
    problems = list(_head_problems(config, addresses[HEAD_NAME]))
    for name, server in config.started.items():
        problems += _server_problems(config, server, addresses[name])
    if problems:
        raise ConfigError(problems)


def _head_problems(config: Config, address: Address) -> Iterator[Problem]:
    host = config.head.host
    if config.is_worker or address.bind != LOOPBACK or host in (None, *LOOPBACK_HOSTS):
        return
    where = str(config.origins.of((HEAD_NAME, "host")) or "")
    problem = f"{HEAD_NAME}.host: {host} is not an address of this machine"
    yield Problem(where, problem, "set it to this machine's address for workers")


def _server_problems(config: Config, server: ServerInstance, address: Address) -> Iterator[Problem]:
    requested = server.host or (config.membership and config.membership.advertise)
    if address.host != LOOPBACK or requested in LOOPBACK_HOSTS:
        return
    if requested:
        problem = f"{server.name}: {requested} is not an address of this machine"
    elif config.is_worker:
        problem = f"{server.name} has no address for other machines"
    else:
        return
    hint = "set its `host:` to this machine's address, or use --advertise ADDRESS for all servers"
    yield Problem(str(server.location or ""), problem, hint)


def transport(servers: Mapping[str, Server], config: Config, addresses: Mapping[str, Address]) -> Transport:
    """Calls within the process; calls to servers of other machines use the addresses from the head."""
    from gymctl.server import LocalTransport

    here: Transport = LocalTransport(servers)
    elsewhere = {name: addresses[name].url for name in config.servers if name not in config.started}
    if elsewhere:
        from gymctl.server.calls.elsewhere import WithElsewhere

        here = WithElsewhere(here, elsewhere)
    if not config.remote:
        return here
    from gymctl.server.calls.remote import AcrossMachines

    return AcrossMachines(here, config.remote, addresses[HEAD_NAME].url)


def with_node(whole: dict[str, Any], config: Config, addresses: Mapping[str, Address]) -> dict[str, Any]:
    """The configuration with the node server's entry; other machines use the addresses that servers bind."""
    assert config.membership is not None  # noqa: S101 - asked of workers only
    own = node_fields(config, addresses[HEAD_NAME], lambda server: addresses[server.name].url)
    own |= {"token": config.membership.token, "host": addresses[NODE_KEY].bind, "port": addresses[NODE_KEY].port}
    return {**whole, NODE_KEY: own}
