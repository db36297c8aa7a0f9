"""The proxy for a call to the outside. Calls between servers of a stack never use one."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from gymctl.config.vocabulary import EGRESS_PROXY_VARIABLE

GATEWAY = "host.docker.internal"


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy's URL for calls to ``url``; None to call it directly.

    ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy`` are read in lower case first, as curl and Python do;
    an entry of ``no_proxy`` is a host, a domain or a network (``10.0.0.0/8``). This machine and names without a dot (a
    service of the stack, a host of the local network) are called directly; where a list of hosts is all that a server
    may reach (``egress``), so are only those in ``no_proxy``.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if EGRESS_PROXY_VARIABLE not in environ and _is_near(host):
        return None
    if any(_covers(entry, host, parts.port) for entry in _variable(environ, "no_proxy").split(",")):
        return None
    proxy = _variable(environ, f"{parts.scheme}_proxy") or _variable(environ, "all_proxy")
    if not proxy:
        return None
    if "://" in proxy:
        return proxy
    return f"http://{proxy}"


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper(), "")


def _is_near(host: str) -> bool:
    """Whether a host is this machine, or a name without a dot."""
    if host == GATEWAY or host.endswith(".localhost") or not set(host) & set(".:"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of ``no_proxy`` names a host, with ``port`` where the entry has one."""
    name = entry.strip().lower()
    if name == "*":
        return True
    if "/" in name:
        return _is_in(host, name)
    name, colon, number = name.rpartition(":") if name.count(":") == 1 else (name, "", "")
    if colon and number != str(port or ""):
        return False
    domain = name.removeprefix("*").lstrip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _is_in(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
