"""What clients outside of a stack may call: the options of a command, checked against a configuration."""

from __future__ import annotations

from collections.abc import Sequence

from gymctl.config import Config
from gymctl.config.exposure import Exposure, check_clients, client_networks, exposed_servers
from gymctl.config.vocabulary import EVERY_INTERFACE, LOOPBACK_HOSTS, is_this_machine
from gymctl.engines.machine import machine_address
from gymctl.errors import InputError
from gymctl.operations.edge import refuse_edge


def container_exposure(config: Config, names: Sequence[str], clients: Sequence[str], publish_host: str) -> Exposure:
    """The servers that a stack of containers publishes on ``publish_host`` of this machine.

    Raises:
        InputError: a name or a network is wrong, the address needs a list of clients, or the stack is on several
            machines.
    """
    exposure = _read(config, names, clients)
    if not exposure:
        return exposure
    check_clients([publish_host], exposure.clients)
    return Exposure(exposure.servers, exposure.clients, _advertised(config, publish_host))


def local_exposure(config: Config, names: Sequence[str], clients: Sequence[str]) -> Exposure:
    """The servers of the local engine that clients outside may call; where they listen is checked by the engine.

    Raises:
        InputError: a name or a network is wrong, the stack is on several machines, or it has an ``edge``.
    """
    refuse_edge(config, "with the local engine")
    return _read(config, names, clients)


def check_exposed_engine(names: Sequence[str], *, is_swarm: bool) -> None:
    """Check that the engine can expose servers.

    Raises:
        InputError: it cannot.
    """
    if names and is_swarm:
        message = "--expose is not available on a Swarm, whose ports have no address to bind to"
        raise InputError(message, "use --engine compose on one machine, or run the clients in the stack")


def _read(config: Config, names: Sequence[str], clients: Sequence[str]) -> Exposure:
    if not names:
        if clients:
            raise InputError("--expose-to needs --expose", "add --expose agents, or remove it")
        return Exposure()
    if config.membership is not None:
        message = "--expose is for a stack on one machine"
        raise InputError(message, "with --role, servers with a `host` are published for other machines already")
    return Exposure(exposed_servers(config, names), client_networks(clients))


def _advertised(config: Config, publish_host: str) -> str:
    """The host that clients are given: the configured one; empty where they use the one of the head."""
    if publish_host in LOOPBACK_HOSTS:
        return ""
    host = config.values.get("default_host")
    if host and not is_this_machine(str(host)):
        return str(host)
    if not config.values.get("use_absolute_ip"):
        return ""
    if publish_host == EVERY_INTERFACE:
        return machine_address()
    return publish_host
