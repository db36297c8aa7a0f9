"""Which addresses a server with a list of hosts may reach: those of a listed host, but never some kinds of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

from gymctl.config.egress_hosts import EgressHost, is_permitted
from gymctl.config.terminal_text import one_line

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, Oracle and others
        "169.254.170.2",  # containers on AWS
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_ROUTES = Path("/proc/net/route")
_IPV6_ROUTES = Path("/proc/net/ipv6_route")
_LONGEST_HOST = 300


class CallRefused(Exception):  # noqa: N818 - a fact about a call
    """A call that a server may not make, or that failed; ``status`` is the reply's."""

    def __init__(self, message: str, *, status: int = 403) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class EgressPolicy:
    """The hosts that a server may call."""

    server: str
    hosts: tuple[EgressHost, ...]

    def check(self, host: str, port: int) -> None:
        """Check a host by its name.

        Raises:
            CallRefused: the server may not call it.
        """
        if not is_permitted(self.hosts, host, port):
            shown = shown_host(host, port)
            raise CallRefused(f"{self.server} may not call {shown}: add {shown} to 'egress' of {self.server}")

    def reachable(self, host: str, port: int, addresses: Iterable[IpAddress]) -> list[IpAddress]:
        """Those of a host's addresses that are not of a kind that is never reached.

        Raises:
            CallRefused: there is none.
        """
        own = own_networks()
        kinds = {address: never_reached(address, own) for address in addresses}
        permitted = [address for address, kind in kinds.items() if not kind]
        if not permitted:
            address, kind = next(iter(kinds.items()))
            place = shown_host(host, port)
            raise CallRefused(
                f"{self.server} may not call {place}: its address {address} is {kind}, which 'egress' never permits"
            )
        return permitted


def shown_host(host: str, port: int) -> str:
    """``host:port`` for a message, whatever a client wrote."""
    text = one_line(host)[:_LONGEST_HOST]
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def never_reached(address: IpAddress, own: Iterable[IpNetwork]) -> str:
    """What kind of address it is, if it is one that is never reached; empty: it can be reached."""
    for form in _forms(address):
        if form in _METADATA:
            return "a cloud's metadata address"
        if form.is_loopback or form.is_unspecified:
            return "a loopback address"
        if form.is_link_local:
            return "a link-local address"
        if form.is_multicast or form == IPv4Address("255.255.255.255"):
            return "not one host's address"
        if any(form in network for network in own):
            return "on one of the stack's own networks"
    return ""


def _forms(address: IpAddress) -> Iterator[IpAddress]:
    """An address, and the IPv4 address that is part of it, if it is an IPv6 one that leads there."""
    yield address
    if isinstance(address, IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        yield from (item for item in inner if item is not None)
        if address in _NAT64:
            yield IPv4Address(int(address) & 0xFFFFFFFF)


async def addresses_of(host: str, port: int) -> list[IpAddress]:
    """The addresses of a host, in the order of the resolver.

    Raises:
        OSError: its name does not resolve.
    """
    with suppress(ValueError):
        return [ip_address(host)]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(item[4][0]) for item in found))


def own_networks() -> list[IpNetwork]:
    """The networks that this container is on: their members, and this machine's address on them."""
    return [*_ipv4_networks(_text(_ROUTES)), *_ipv6_networks(_text(_IPV6_ROUTES))]


def _text(path: Path) -> str:
    """A table of the kernel's; empty where it has none."""
    try:
        return path.read_text("ascii")
    except OSError:
        return ""


def _ipv4_networks(table: str) -> Iterator[IpNetwork]:
    """The networks of ``/proc/net/route`` that are reached without a gateway; numbers have the lowest byte first."""
    for line in table.splitlines()[1:]:
        _, destination, gateway, _, _, _, _, mask, *_ = line.split()
        if int(gateway, 16) == 0 and int(mask, 16) != 0:
            begin, netmask = (IPv4Address(bytes.fromhex(text)[::-1]) for text in (destination, mask))
            yield ip_network(f"{begin}/{netmask}")


def _ipv6_networks(table: str) -> Iterator[IpNetwork]:
    """The networks of ``/proc/net/ipv6_route`` that are reached without a gateway."""
    for line in table.splitlines():
        destination, length, _, _, gateway, *_ = line.split()
        if int(gateway, 16) == 0 and int(length, 16) != 0:
            yield ip_network(f"{IPv6Address(bytes.fromhex(destination))}/{int(length, 16)}")
