"""What a stack takes over from the machine that it is planned on: its names, its proxies, its certificates."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from gymctl.config.vocabulary import LOOPBACK_HOSTS
from gymctl.engines.build.certificates import server_certificates
from gymctl.errors import InputError
from gymctl.stack.egress import Egress, no_proxy, read_egress


def machine_names() -> tuple[str, ...]:
    """The names that this machine gives itself; asks no name server."""
    name = socket.gethostname()
    return tuple(dict.fromkeys(item for item in (name, name.partition(".")[0]) if item and item != "localhost"))


def machine_address() -> str:
    """The address that this machine's name leads to, which NeMo Gym uses with ``use_absolute_ip``.

    Raises:
        InputError: the name leads nowhere.
    """
    name = socket.gethostname()
    try:
        return socket.gethostbyname(name)
    except OSError as error:
        hint = "set default_host to the address that clients use, or remove use_absolute_ip"
        raise InputError(f"use_absolute_ip: the name {name} of this machine cannot be resolved", hint) from error


def machine_egress(environ: Mapping[str, str], ca_bundle: Path | None = None) -> Egress:
    """The proxies and certificates that servers use for calls to the outside.

    Raises:
        InputError: ``ca_bundle`` does not exist, or contains no certificate.
    """
    return read_egress(environ, _docker_proxies(environ), server_certificates(ca_bundle, environ))


def direct_calls(hosts: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that keep calls to this machine and to ``hosts`` away from the proxy that ``environ`` names."""
    earlier = environ.get("no_proxy") or environ.get("NO_PROXY", "")
    own = (*LOOPBACK_HOSTS, *(host for host in hosts if host))
    return dict.fromkeys(("no_proxy", "NO_PROXY"), no_proxy(earlier, own))


def _docker_proxies(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The proxies that Docker's own configuration gives to every container."""
    folder = environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    try:
        proxies = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))["proxies"]["default"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    if isinstance(proxies, dict):
        return {key: value for key, value in proxies.items() if isinstance(value, str)}
    return {}
