"""Which requests a server takes: those of programs that know it, as JSON, and not larger than it can hold.

A page in a browser on this machine reaches every port that listens here. It may send a form without asking, and by a
name of its own that leads here (DNS rebinding) it may read answers too. What it cannot do is leave out ``Origin``, or
name another host than its own.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gymctl.config.blocks.hop_tokens import OPEN_PATHS, TOKEN_HEADER
from gymctl.config.vocabulary import ALLOWED_HOSTS_KEY, LOOPBACK_HOSTS
from gymctl.server.message import Reply, json_reply

if TYPE_CHECKING:
    from gymctl.server.hosting import HostedServer

MEGABYTE = 1 << 20
# Names by which a container engine lets containers reach the machine they run on
_MACHINE_NAMES = ("host.docker.internal", "gateway.docker.internal", "host.containers.internal")
_SWARM_TASKS = "tasks."
_BODILESS = ("GET", "HEAD", "OPTIONS")
_TOKEN = TOKEN_HEADER.encode()
_OPEN_PATHS = frozenset(OPEN_PATHS)
_MOST_NAMES = 1024  # that are remembered: a caller may make any number of them up


class RequestChecks:
    """The checks of one server: ``most_bytes`` is the size of the largest body that it takes."""

    def __init__(self, server: HostedServer) -> None:
        settings = server.settings
        self.most_bytes = int(server.most_body_mb * MEGABYTE)
        self._is_local = settings.host in LOOPBACK_HOSTS
        urls = (*settings.peers.values(), settings.head_url)
        self._names = {
            "localhost",
            *_MACHINE_NAMES,
            *map(str.lower, (settings.name, settings.host, *settings.peers)),
            *(urlsplit(url).hostname or "" for url in urls),
            *map(str.lower, settings.allowed_hosts),
        }
        self._clients = tuple(map(ipaddress.ip_network, settings.exposed_to))
        self._name = settings.name
        self._tokens = settings.tokens
        self._own_name = socket.gethostname().lower()
        self._verdicts: dict[bytes, bool] = {}

    def refusal(self, scope: MutableMapping[str, Any], *, only_json: bool) -> Reply | None:
        """The reply to a request that is not taken, from its headers alone; None for one that is."""
        if self._clients and not self._is_accepted(scope):
            return json_reply({"detail": f"{scope['client'][0]} is not among the clients in --expose-to"}, 403)
        return self._refusal_of_headers(scope, only_json=only_json)

    def _refusal_of_headers(self, scope: MutableMapping[str, Any], *, only_json: bool) -> Reply | None:
        kind = None
        token = None
        has_body = scope["method"] not in _BODILESS
        for name, value in scope["headers"]:
            if name == b"content-type":
                kind = value
            elif name == b"host":
                if not self._is_known(value):
                    return _unknown_host(value)
            elif name == b"content-length":
                has_body = has_body and value.lstrip(b"0") != b""
                if self._is_too_large(value):
                    return self.too_large()
            elif name == _TOKEN:
                token = value
            elif _is_from_a_page(name, value):
                return json_reply({"detail": "requests from web pages are not accepted"}, 403)
        return self._refusal_of_call(scope, token, lacks_json=only_json and has_body and not _is_json(kind))

    def _refusal_of_call(
        self, scope: MutableMapping[str, Any], token: bytes | None, *, lacks_json: bool
    ) -> Reply | None:
        if self._tokens is not None and not self._tokens.accepts(token) and not _is_open(scope):
            return self._without_token()
        if lacks_json:
            return json_reply({"detail": "the body must be JSON: content-type: application/json"}, 415)
        return None

    def _without_token(self) -> Reply:
        """The reply to a call without the server's token, or with another one."""
        detail = (
            f"{self._name}: the header {TOKEN_HEADER} is missing or has a wrong token. Commands of gymctl and the "
            f"servers whose configuration refers to {self._name} send the right one. Clients outside of the stack can "
            "use its edge (docs/edge.md), or send the header (docs/secrets.md)"
        )
        reply = json_reply({"detail": detail}, 401)
        reply.headers["www-authenticate"] = TOKEN_HEADER
        return reply

    def _is_accepted(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether a client is in one of the accepted networks, or on this machine."""
        client = ipaddress.ip_address(scope["client"][0])
        client = getattr(client, "ipv4_mapped", None) or client
        if client.is_loopback or scope["client"][0] == scope["server"][0]:
            return True
        return any(client in network for network in self._clients)

    def _is_too_large(self, length: bytes) -> bool:
        return len(length) > 18 or (length.isdigit() and int(length) > self.most_bytes)

    def too_large(self) -> Reply:
        """The reply to a body beyond ``most_bytes``."""
        limit = self.most_bytes / MEGABYTE
        return json_reply({"detail": f"the body exceeds the limit of {limit:g} MB (max_body_mb)"}, 413)

    def _is_known(self, host: bytes) -> bool:
        verdict = self._verdicts.get(host)
        if verdict is None:
            verdict = self._is_ours(host.decode("latin-1").lower())
            if len(self._verdicts) < _MOST_NAMES:
                self._verdicts[host] = verdict
        return verdict

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        if name is None or name in self._names or name.endswith(".localhost"):
            return True
        if self._is_local:
            return False
        if "." not in name:  # a name of a container engine's, or of a local network
            return bool(name)
        first, _, rest = name.partition(".")
        return first == self._own_name or (name.startswith(_SWARM_TASKS) and "." not in rest)


def _is_open(scope: MutableMapping[str, Any]) -> bool:
    """Whether a request needs no token."""
    return scope["method"] == "GET" and scope["path"] in _OPEN_PATHS


def _name_of(host: str) -> str | None:
    """The name in a ``Host`` header, without its port; None where it is an address, which no name can lead to."""
    if host.startswith("["):
        address, _, rest = host[1:].partition("]")
        if rest and not rest.removeprefix(":").isdigit():
            return host
    else:
        address = host.partition(":")[0]
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return address.removesuffix(".")
    return None


def _is_from_a_page(name: bytes, value: bytes) -> bool:
    """Whether a header is one that only browsers send, with a request that a page of another site made."""
    if name == b"origin":
        return True
    return name == b"sec-fetch-site" and value in (b"cross-site", b"same-site")


def _unknown_host(host: bytes) -> Reply:
    name = host.decode("latin-1")[:100]
    hint = f"if it is a name of this machine, add it to {ALLOWED_HOSTS_KEY} in the configuration"
    return json_reply({"detail": f"this server is not called {name!r}; {hint}"}, 421)


def _is_json(kind: bytes | None) -> bool:
    if kind is None:
        return False
    media = kind.partition(b";")[0].strip().lower()
    return media == b"application/json" or (media.startswith(b"application/") and media.endswith(b"+json"))
