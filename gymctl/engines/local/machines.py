"""The local engine's part in a stack on several machines: addresses that others dial, and the way to their servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gymctl.config import Config
from gymctl.config.vocabulary import HEAD_NAME, LOOPBACK, LOOPBACK_HOSTS, NODE_KEY
from gymctl.errors import ConfigError, Problem
from gymctl.stack.slices.slices import Address
from gymctl.stack.worker_nodes import node_fields

if TYPE_CHECKING:
    from gymctl.server import Server
    from gymctl.server.calls.client import Transport


def check_reachable(config: Config, addresses: Mapping[str, Address]) -> None:
    """With a role, others dial what was bound: a loopback address in place of the wanted one would mislead them.

    Raises:
        ConfigError: a server's address is not this machine's, or it has none that others could dial.
    """
    problems = []
    head = config.head.host
    if not config.is_worker and addresses[HEAD_NAME].bind == LOOPBACK and head not in (None, *LOOPBACK_HOSTS):
        where = str(config.origins.of((HEAD_NAME, "host")) or "")
        problem = f"{HEAD_NAME}.host: {head} is not an address of this machine"
        problems.append(Problem(where, problem, "set it to this machine's address for workers"))
    for name, server in config.servers.items():
        address = server.host or (config.membership and config.membership.advertise)
        if addresses[name].host == LOOPBACK and (config.is_worker or address) and address not in LOOPBACK_HOSTS:
            if address:
                problem = f"{name}: {address} is not an address of this machine"
            else:
                problem = f"{name} has no address for other machines"
            hint = "set its `host:` to this machine's address, or use --advertise ADDRESS for all servers"
            problems.append(Problem(str(server.location or ""), problem, hint))
    if problems:
        raise ConfigError(problems)


def transport(servers: Mapping[str, Server], config: Config, addresses: Mapping[str, Address]) -> Transport:
    """Calls within the process; those to servers of other machines go where the head says they are."""
    from gymctl.server import LocalTransport

    here = LocalTransport(servers)
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
