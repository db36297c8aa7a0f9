"""Firewall rules for one machine of a stack on several: its ports, open to those machines that call them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network

from gymctl.config.choices import Firewall
from gymctl.errors import InputError
from gymctl.stack.capacity.machines import HERE, Machine


def rules(machine: Machine, firewall: Firewall) -> str:
    """Commands to paste into a root shell of the machine; empty where nothing needs to be open.

    Docker sends what comes in for a published port past ufw's rules (it is forwarded, not delivered here), so ufw can
    open a port, for servers without containers, but closes none of Docker's. The nftables table stands before Docker's
    own address translation and closes too.

    Raises:
        InputError: the address of the head's machine is unknown, or ufw was given a name.
    """
    if not machine.openings:
        return ""
    for caller in dict.fromkeys(caller for opening in machine.openings for caller in opening.callers):
        _check_caller(caller, firewall)
    return "\n".join(_ufw(machine) if firewall == Firewall.UFW else _nftables(machine)) + "\n"


def _check_caller(caller: str, firewall: Firewall) -> None:
    """A rule is loaded only where the caller's address is one."""
    if caller == HERE:
        hint = "set head_server.host to the address that workers use"
        raise InputError("rules for workers need the address of the head's machine", hint)
    if firewall == Firewall.UFW and not _is_address(caller):
        hint = "use its address, or --firewall nftables, which resolves names when the rules are loaded"
        raise InputError(f"ufw needs addresses, but {caller} is a host name", hint)


def _ufw(machine: Machine) -> Iterator[str]:
    yield "# ports published by Docker bypass ufw; nftables also closes those"
    for opening in machine.openings:
        for caller in opening.callers:
            comment = re.sub(r"[^A-Za-z0-9 ._-]", "_", opening.server)
            yield f"ufw allow proto tcp from {caller} to any port {opening.port} comment 'gymctl: {comment}'"


def _nftables(machine: Machine) -> Iterator[str]:
    """A separate table, replaced as a whole when the rules are loaded again.

    Priority -150 is after connection tracking (-200) and before address translation (-100): ports are still those that
    the caller dialled, for containers and for processes alike.
    """
    yield "nft -f - <<'RULES'"
    yield "table inet gymctl"
    yield "delete table inet gymctl"
    yield "table inet gymctl {"
    yield "  chain prerouting {"
    yield "    type filter hook prerouting priority -150; policy accept;"
    yield '    iifname "lo" accept'
    yield '    iifname "docker0" accept'
    yield '    iifname "br-*" accept'
    for opening in machine.openings:
        families: dict[str, list[str]] = {}
        for caller in opening.callers:
            families.setdefault(_family(caller), []).append(caller)
        for family, callers in families.items():
            yield f"    {family} saddr {{ {', '.join(callers)} }} tcp dport {opening.port} accept  # {opening.server}"
        yield f"    tcp dport {opening.port} drop"
    yield "  }"
    yield "}"
    yield "RULES"


def _is_address(text: str) -> bool:
    """Whether a caller is an address or a network, and not a name."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _family(address: str) -> str:
    # a name counts as IPv4: nft looks it up when the rules are loaded
    if _is_address(address) and ip_network(address).version == 6:
        return "ip6"
    return "ip"
