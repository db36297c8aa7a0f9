"""The hosts that a server may reach outside of its stack: entries of its ``egress`` and what they permit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

WEB_PORTS = (80, 443)
"""The ports of an entry that names none."""
_ENTRY = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>(?:\*\.)?[^\s:/*\[\]@]+))(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_LONGEST_NAME = 253
_ANY_BELOW = "*."


@dataclass(frozen=True)
class EgressHost:
    """An entry of a list: a host, or all hosts below a domain, at one port or at those of the web."""

    host: str
    """A name or an address in lower case; ``*.example.com`` is every name below ``example.com``, at any depth."""
    port: int | None
    """None: 80 and 443."""

    def permits(self, host: str, port: int) -> bool:
        """Whether a call to ``host`` (as ``plain_host`` writes it) is one of those that the entry permits."""
        if port not in (WEB_PORTS if self.port is None else (self.port,)):
            return False
        if self.host.startswith(_ANY_BELOW):
            return host.endswith(self.host[1:]) and len(host) > len(self.host) - 1
        return host == self.host

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def parse_egress_host(text: str) -> EgressHost:
    """An entry such as ``api.example.com``, ``*.example.com``, ``db.example.com:5432`` or ``[2001:db8::1]:443``.

    Raises:
        ValueError: it is none of these, or it is a loopback or link-local address.
    """
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a host")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"{port} is not a port")
    host = match["ipv6"] or match["name"]
    domain = host.removeprefix(_ANY_BELOW)
    plain = plain_host(domain)
    if not is_host(plain) or _is_never_reached(plain):
        raise ValueError(f"{text!r} is not a host that can be listed")
    if host != domain and _is_address(plain):
        raise ValueError(f"{text!r}: an address has no hosts below it")
    return EgressHost(f"{_ANY_BELOW}{plain}" if host != domain else plain, port)


def plain_host(host: str) -> str:
    """A host as hosts are compared: in lower case, without a dot at its end, an address in its shortest form."""
    host = host.lower().removesuffix(".")
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


def is_host(host: str) -> bool:
    """Whether a text in lower case is an address, or a name that DNS can have."""
    if _is_address(host):
        return True
    labels = host.split(".")
    if len(host) > _LONGEST_NAME or _NUMERIC.fullmatch(labels[-1]):  # 127.1 and 2130706433 are addresses to some
        return False
    return all(_LABEL.fullmatch(label) for label in labels)


def is_permitted(entries: Iterable[EgressHost], host: str, port: int) -> bool:
    """Whether one of the entries permits calls to a host; ``host`` as ``plain_host`` writes it."""
    return is_host(host) and any(entry.permits(host, port) for entry in entries)


def is_refusal(message: str) -> bool:
    """Whether a message is one with which the proxy of a list refuses a call, and not an endpoint's own."""
    return " may not call " in message and "'egress'" in message


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_never_reached(host: str) -> bool:
    """Whether a host is the container itself, or in the range of addresses that clouds use for metadata."""
    if host == "localhost" or host.endswith((".localhost", ".localdomain")):
        return True
    if not _is_address(host):
        return False
    address = ip_address(host)
    return address.is_loopback or address.is_unspecified or address.is_link_local
