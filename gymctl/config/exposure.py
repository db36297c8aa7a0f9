"""Which servers of a stack clients outside of it may call, and from which addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from gymctl.config.choices import ExposedGroup
from gymctl.config.model import Config
from gymctl.config.vocabulary import LOOPBACK_HOSTS, ServerKind
from gymctl.config.wording import suggestion
from gymctl.errors import InputError

Network = IPv4Network | IPv6Network

# Clients of NeMo Gym 0.7 send a rollout to the environment server in front of its agent.
_GROUPS = {
    ExposedGroup.AGENTS: (ServerKind.AGENT, ServerKind.ENVIRONMENT),
    ExposedGroup.SERVERS: tuple(ServerKind),
}


@dataclass(frozen=True)
class Exposure:
    """The servers that clients outside of the stack may call; none by default."""

    servers: tuple[str, ...] = ()
    """Names of servers, in the configuration's order."""
    clients: tuple[Network, ...] = ()
    """Networks of the clients that are accepted; empty: every client that reaches the address."""
    host: str = ""
    """Host name or address that clients are given; empty: the one under which they reach the head."""

    def __bool__(self) -> bool:
        """Whether any server is exposed."""
        return bool(self.servers)


NOT_EXPOSED = Exposure()


def exposed_servers(config: Config, names: Sequence[str], option: str = "--expose") -> tuple[str, ...]:
    """The servers that ``names`` selects: names of servers, or the groups ``agents`` and ``servers``.

    ``option`` is where they were written, for messages.

    Raises:
        InputError: a name is not a server's, the server runs elsewhere, or a group is empty.
    """
    selected: set[str] = set()
    for name in names:
        selected.update(_selected(config, name, option))
    return tuple(name for name in config.started if name in selected)


def _selected(config: Config, name: str, option: str) -> Iterable[str]:
    if name in config.started:
        return (name,)
    if name in config.servers:
        raise InputError(f"{option} {name}: {name} runs elsewhere (`at`)", "expose it where it runs")
    if name not in list(ExposedGroup):
        hint = suggestion(name, (*ExposedGroup, *config.started))
        raise InputError(f"{option} {name}: the configuration has no such server", hint)
    kinds = _GROUPS[ExposedGroup(name)]
    members = [server.name for server in config.started.values() if server.kind in kinds]
    if not members:
        raise InputError(f"{option} {name}: the configuration has no {name}", "name the servers to expose")
    return members


def client_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks that ``texts`` name, such as ``10.0.0.0/8``; a single address is a network of one.

    Raises:
        InputError: a text is not a network.
    """
    return tuple(_network(text) for text in texts)


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise InputError(f"--expose-to {text!r}: {_reason(text)}", _hint(text)) from None


def _reason(text: str) -> str:
    if _masked(text) is not None:
        return "the address has bits set after its prefix"
    return "it is not a network"


def _hint(text: str) -> str:
    masked = _masked(text)
    if masked is not None:
        return f"write {masked}"
    return "write networks such as 10.0.0.0/8, or addresses, separated by commas"


def _masked(text: str) -> Network | None:
    """The network around an address with a prefix; None when the text is neither."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def check_clients(hosts: Iterable[str], clients: Sequence[Network]) -> None:
    """Check that servers which listen on ``hosts`` have a list of clients exactly where it has an effect.

    Raises:
        InputError: an address that is not a loopback one has no list, or there is a list and no such address.
    """
    reachable = [host for host in hosts if host not in LOOPBACK_HOSTS]
    if reachable and not clients:
        message = f"--expose on {reachable[0]} needs the addresses that may call, because clients cannot send a token"
        hint = (
            "add --expose-to CIDR, such as --expose-to 10.0.0.0/8, or use TLS and a token: `edge` in the configuration"
        )
        raise InputError(message, hint)
    if clients and not reachable:
        message = "--expose-to has no effect on a loopback address, which only this machine can reach"
        hint = "remove it, or open another address: --publish ADDRESS; head_server.host with --engine local"
        raise InputError(message, hint)


def split_names(text: str | None) -> tuple[str, ...]:
    """The names in a list that is separated by commas, each once; none for None."""
    names = (name.strip() for name in (text or "").split(","))
    return tuple(dict.fromkeys(name for name in names if name))
