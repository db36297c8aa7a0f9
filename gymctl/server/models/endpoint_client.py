"""Requests to the endpoints of models: plain HTTP over connections of our own; TLS and proxies over aiohttp."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, quote, urlsplit

from gymctl.server.calls.client import AFTER_START_S, KEEPALIVE_S
from gymctl.server.calls.connection_pool import RestingPool
from gymctl.server.calls.http_connection import LongBodyError
from gymctl.server.calls.proxies import proxy_for
from gymctl.server.models.reply_body import MOST_BYTES, UnreadableBodyError, decompressed, too_long

if TYPE_CHECKING:
    from gymctl.server.models.aiohttp_wire import AiohttpWire

CONNECT_S = 30.0
"""Seconds that a connection may take."""
_FIELDS = {
    "content-type": "application/json",
    "accept": "*/*",
    "accept-encoding": "gzip, deflate",
    "user-agent": "gymctl",
}
_SAFE_IN_PATH = "/%:@!$&'()*+,;=~"


class ProxyError(OSError):
    """The proxy does not connect to the endpoint; ``status`` is the one that it answered with."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class EndpointReply:
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; of a repeated one, the first."""
    body: bytes
    """Decompressed. Where a reply of another status than 2xx cannot be read, the reason."""


class _Target(Protocol):
    """One path of one endpoint."""

    @property
    def url(self) -> str:
        """Its address, without parameters and credentials."""
        ...

    async def request(self, body: bytes) -> EndpointReply:
        """Send a request and return the reply; as ``EndpointClient.request``."""
        ...


class EndpointClient:
    """Requests to endpoints, with the same header fields and parameters for all.

    Args:
        urls: the endpoints that are known at the start.
        limit: connections at most.
        headers: sent with every request; of one name in whatever case, the last.
        query: parameters of every request's address.
    """

    def __init__(
        self, urls: Sequence[str], limit: int, headers: Sequence[Mapping[str, str]], query: Mapping[str, str]
    ) -> None:
        self._limit = limit
        self._query = query
        fields = {name: (name, value) for name, value in _FIELDS.items()}
        for group in headers:
            fields |= {name.lower(): (name, value) for name, value in group.items()}
        self._fields = dict(fields.values())
        self._pool = RestingPool(limit, KEEPALIVE_S, MOST_BYTES)
        self._targets: dict[tuple[str, str, str], _Target] = {}
        self._wire: AiohttpWire | None = None
        self._opening: asyncio.TimerHandle | None = None
        if not all(self._is_plain(url) for url in urls):
            self._opening = asyncio.get_running_loop().call_later(AFTER_START_S, self._open)

    async def request(self, base: str, path: str, body: bytes, method: str = "POST") -> EndpointReply:
        """One request to one endpoint, and the whole reply, whatever its status.

        Args:
            base: the endpoint's address.
            path: below it (``chat/completions``), or outside of its ``/v1`` (``../tokenize``).
            body: JSON.
            method: ``GET`` or ``POST``.

        Raises:
            ConnectError: no connection was made.
            BrokenConnectionError: the reply is missing or incomplete, or not HTTP (``NotHttpError``).
            UnreadableBodyError: the body of a reply of status 2xx cannot be used.
            ProxyError: the proxy does not connect to the endpoint.
        """
        target = self._targets.get((base, path, method)) or self._target(base, path, method)
        return await target.request(body)

    def url(self, base: str, path: str) -> str:
        """The address that a request is sent to, without parameters and credentials."""
        return self._target(base, path, "POST").url

    def forget(self) -> None:
        """Forget the addresses of endpoints: others are called from now on."""
        self._targets.clear()

    async def close(self) -> None:
        """Close the connections."""
        if self._opening is not None:
            self._opening.cancel()
        await self._pool.close()
        if self._wire is not None:
            await self._wire.close()

    def _target(self, base: str, path: str, method: str) -> _Target:
        if path.startswith("../"):
            address = f"{base.removesuffix('/v1')}/{path[3:]}"
        else:
            address = f"{base}/{path}"
        target: _Target
        if self._is_plain(base):
            target = _PlainTarget(self._pool, method, urlsplit(address), self._fields)
        else:
            target = self._open().target(method, address, self._query, proxy_for(base, os.environ))
        self._targets[base, path, method] = target
        return target

    def _is_plain(self, base: str) -> bool:
        """Whether our own connections do: no TLS, no proxy, and nothing in the address but host, port and path."""
        parts = urlsplit(base)
        if parts.scheme != "http" or not base.isascii():
            return False
        if self._query or parts.query or parts.fragment or parts.username is not None:
            return False
        return proxy_for(base, os.environ) is None

    def _open(self) -> AiohttpWire:
        """The connections of aiohttp, which takes long to import: a stack's servers start together."""
        if self._wire is None:
            from gymctl.server.models.aiohttp_wire import AiohttpWire

            self._wire = AiohttpWire(self._limit, self._fields)
        return self._wire


class _PlainTarget:
    """A path that is requested over connections of our own."""

    def __init__(self, pool: RestingPool, method: str, address: SplitResult, fields: Mapping[str, str]) -> None:
        self._pool = pool
        self._address = (address.hostname or "localhost", address.port or 80)
        path = quote(address.path, safe=_SAFE_IN_PATH)
        lines = [f"{name}: {value}\r\n" for name, value in {"host": address.netloc, **fields}.items()]
        self._begin = f"{method} {path} HTTP/1.1\r\n{''.join(lines)}content-length: ".encode()
        self.url = f"http://{address.netloc}{path}"

    async def request(self, body: bytes) -> EndpointReply:
        """As ``EndpointClient.request``."""
        head = b"%s%d\r\n\r\n" % (self._begin, len(body))
        try:
            response = await self._pool.exchange(self._address, head, body, CONNECT_S)
        except LongBodyError as error:
            return whole_reply(error.status, {}, too_long(MOST_BYTES))
        headers: dict[str, str] = {}
        for name, value in response.headers:
            headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        return whole_reply(response.status, headers, response.body)


def whole_reply(status: int, headers: Mapping[str, str], content: bytes | UnreadableBodyError) -> EndpointReply:
    """A reply with its body decompressed.

    Args:
        status: the reply's.
        headers: the reply's.
        content: the body as it came, or why it cannot be used.

    Raises:
        UnreadableBodyError: the body of a reply of status 2xx cannot be used; of others, the status is sufficient.
    """
    try:
        if isinstance(content, UnreadableBodyError):
            raise content
        body = decompressed(content, headers.get("content-encoding", ""))
    except UnreadableBodyError as error:
        if status // 100 == 2:
            raise
        body = str(error).encode()
    return EndpointReply(status, headers, body)
