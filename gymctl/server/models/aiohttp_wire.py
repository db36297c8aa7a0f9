"""Requests over aiohttp: to endpoints with TLS, behind proxies, or with more in their address than host and path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from gymctl.server.calls.client import KEEPALIVE_S
from gymctl.server.calls.connection_pool import ConnectError
from gymctl.server.calls.http_connection import BrokenConnectionError, NotHttpError
from gymctl.server.models.connector import QuietConnector
from gymctl.server.models.endpoint_client import CONNECT_S, EndpointReply, ProxyError, whole_reply
from gymctl.server.models.reply_body import MOST_BYTES, UnreadableBodyError, too_long


class AiohttpWire:
    """Pooled connections of aiohttp.

    Args:
        limit: connections at most.
        headers: sent with every request.
    """

    def __init__(self, limit: int, headers: Mapping[str, str]) -> None:
        self._session = aiohttp.ClientSession(
            connector=QuietConnector(limit=limit, keepalive_timeout=KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),  # calls have deadlines of their own
            headers=headers,
            auto_decompress=False,
        )

    def target(self, method: str, address: str, query: Mapping[str, str], proxy: str | None) -> AiohttpTarget:
        """What requests one address, by way of ``proxy`` where it is given."""
        return AiohttpTarget(self._session, method, URL(address).update_query(query), proxy)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


@dataclass(frozen=True, slots=True)
class AiohttpTarget:
    """A path that is requested over aiohttp."""

    session: aiohttp.ClientSession
    method: str
    address: URL
    proxy: str | None

    @property
    def url(self) -> str:
        """The address, without parameters and credentials."""
        return str(self.address.with_query(None).with_user(None))

    async def request(self, body: bytes) -> EndpointReply:
        """As ``EndpointClient.request``."""
        try:
            reply = await self.session.request(
                self.method, self.address, data=body, allow_redirects=False, proxy=self.proxy
            )
            content = await _whole_content(reply)
        except aiohttp.ClientHttpProxyError as error:
            raise ProxyError(error.status, error.message) from error
        except aiohttp.ClientConnectorError as error:
            raise ConnectError(error.os_error.errno, str(error)) from error
        except aiohttp.ClientResponseError as error:
            raise NotHttpError(error.message) from error
        except TimeoutError:
            raise
        except aiohttp.ClientError as error:
            raise BrokenConnectionError(str(error) or type(error).__name__) from error
        headers: dict[str, str] = {}
        for name, value in reply.headers.items():
            headers.setdefault(name.lower(), value)
        return whole_reply(reply.status, headers, content)


async def _whole_content(reply: aiohttp.ClientResponse) -> bytes | UnreadableBodyError:
    """The body of a reply as it came, or why it cannot be used."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in reply.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > MOST_BYTES:
                return too_long(MOST_BYTES)
    finally:
        if not reply.content.at_eof():
            reply.close()
    return b"".join(chunks)
