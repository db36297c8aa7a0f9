"""Which addresses may be fetched for a model or a row: those of the public Internet, and those that are allowed.

Whoever writes the addresses is not to be trusted, and a container stands in the private network of its stack: what is
fetched may not be another server, the machine's own services, or the metadata service of a cloud, which hands out
credentials.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Metadata of clouds at addresses that do not look private: Azure's, and Oracle's (which some Pythons call public).
_METADATA = (IPv4Network("168.63.129.16/32"), IPv4Network("192.0.0.0/24"))
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):  # noqa: N818 - a fact about an address; an OSError, as what fails to connect is
    """An address is not of the public Internet, and no setting allows it."""


def literal(host: str) -> Address | None:
    """The address that ``host`` spells, in any form that a C library reads (decimal, octal, short); None for a name."""
    bare = host.rstrip(".").partition("%")[0]
    try:
        return ip_address(bare)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(bare))
    except (OSError, UnicodeEncodeError):
        return None


def check(address: Address, allowed: Sequence[Network]) -> None:
    """Refuse an address that is not public and in none of the ``allowed`` networks.

    Raises:
        AddressRefused: so it is.
    """
    target = embedded(address)
    if any(each in network for each in (address, target) for network in allowed):
        return
    if not is_public(target):
        raise AddressRefused(f"{address} is not a public Internet address")


def is_public(address: Address) -> bool:
    """Whether an address is one of the public Internet's, of one host."""
    if address.is_multicast or address.is_reserved:
        return False
    if any(address in network for network in _METADATA):
        return False
    return address.is_global and not (isinstance(address, IPv6Address) and address.is_site_local)


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to (mapped, 6to4, Teredo, NAT64); any other as it is."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
