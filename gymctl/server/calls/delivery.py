"""One call to one address: over our own connections where it is plain HTTP, over aiohttp where the address has TLS."""

from __future__ import annotations

import errno
import time
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

from gymctl.config.blocks.hop_tokens import TOKEN_HEADER
from gymctl.server.calls.client import KEEPALIVE_S, HopFailed, unanswered
from gymctl.server.calls.connection_pool import Address, ConnectError, ConnectionPool, ConnectTimeoutError
from gymctl.server.calls.deadlines import Deadlines
from gymctl.server.calls.http_connection import BrokenConnectionError, Response
from gymctl.server.hop_tokens import TokenFile
from gymctl.server.message import (
    CONVERSATION_HEADER,
    DEADLINE_HEADER,
    JSON,
    NOT_TAKEN_HEADER,
    PASSED_HEADERS,
    Call,
    Reply,
)
from gymctl.server.rollout_context import ROLLOUT_HEADER, TRACE_HEADER, current_rollout, current_traceparent

if TYPE_CHECKING:
    import aiohttp

# A call without a deadline of its own still ends; NeMo Gym has no timeout at all.
DEFAULT_TIMEOUT_S = 1800.0
# Fields that every request has. Servers of a stack do not compress.
STATIC_HEADERS = {"content-type": JSON, "accept": "*/*", "accept-encoding": "identity", "user-agent": "gymctl"}
_STATIC_FIELDS = "".join(f"{name}: {value}\r\n" for name, value in STATIC_HEADERS.items())
_KNOWN_TARGETS = 4096  # bounded, because a model makes up the names of tools
_SAFE_IN_TARGET = "/?:@!$&'()*+,;=%~"
_PASSED_ON = {name.encode(): name for name in PASSED_HEADERS}
_NOT_TAKEN = NOT_TAKEN_HEADER.encode()
_WRONG_TOKEN = (b"www-authenticate", TOKEN_HEADER.encode())


class UnreachableError(Exception):
    """No connection came about, so nothing was sent; ``number`` is the system's error number."""

    def __init__(self, text: str, number: int | None = None) -> None:
        super().__init__(text)
        self.number = number


class _Wire(Protocol):
    """How requests get to an address, and responses back."""

    async def exchange(self, base: str, call: Call, fields: dict[str, str], connect_timeout_s: float) -> Response:
        """Send ``call`` to the server at ``base`` with ``fields`` added to its header.

        Raises:
            UnreachableError: nothing was sent.
            BrokenConnectionError: the response is missing or incomplete.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Delivery:
    """Delivers calls to addresses, each with an end.

    Args:
        slow: names of servers whose answers take seconds: the models. They have connections of their own, so that
            quick calls do not queue behind them.
        limit: connections at most; further calls wait in line (a pool of about 1,024 beats 16,384 sockets in time
            and in memory).
        slow_limit: connections at most to slow servers.
        tokens: tokens of the servers; None: they need none.
    """

    def __init__(self, slow: Collection[str], limit: int, slow_limit: int, tokens: TokenFile | None = None) -> None:
        self._tokens = tokens
        self._slow = frozenset(slow)
        self._limits = {False: limit, True: slow_limit}
        self._wires: dict[tuple[bool, bool], _Wire] = {}
        self._deadlines = Deadlines()

    async def send(self, server: str, call: Call, base: str, connect_timeout_s: float) -> Reply:
        """Deliver a call to the server at ``base`` and return its reply, whatever its status.

        Raises:
            UnreachableError: nothing was sent, or the server is leaving and has not looked at the call.
            HopFailed: no reply was received (``reset``, ``timeout``).
        """
        remaining = remaining_time(call.deadline)
        fields = {DEADLINE_HEADER: str(int(remaining * 1000))}
        if call.cookies:
            fields["cookie"] = "; ".join([f"{name}={value}" for name, value in call.cookies.items()])
        if call.conversation:
            fields[CONVERSATION_HEADER] = call.conversation
        rollout = current_rollout()
        if rollout is not None:
            fields[ROLLOUT_HEADER] = rollout.header
        trace = call.traceparent or current_traceparent()
        if trace:
            fields[TRACE_HEADER] = trace
        if self._tokens is not None and (token := self._tokens.of(server)):
            fields[TOKEN_HEADER] = token
        wire = self._wire(server in self._slow, base.startswith("https:"))
        try:
            with self._deadlines.until(time.monotonic() + remaining):
                response = await wire.exchange(base, call, fields, connect_timeout_s)
                if response.status == 401 and self._has_new_token(server, fields, response):
                    response = await wire.exchange(base, call, fields, connect_timeout_s)
        except TimeoutError as error:
            raise HopFailed(server, call.path, kind="timeout", body=unanswered(remaining)) from error
        except BrokenConnectionError as error:
            raise HopFailed(server, call.path, kind="reset", body=str(error)) from error
        return _reply(base, response)

    def _has_new_token(self, server: str, fields: dict[str, str], response: Response) -> bool:
        """Whether the server's token was replaced while a call was on its way; ``fields`` then get the new one."""
        if self._tokens is None or _WRONG_TOKEN not in response.headers:
            return False
        self._tokens.refresh()
        token = self._tokens.of(server)
        if token == fields.get(TOKEN_HEADER, ""):
            return False
        fields[TOKEN_HEADER] = token
        return True

    def _wire(self, is_slow: bool, has_tls: bool) -> _Wire:
        wire = self._wires.get((is_slow, has_tls))
        if wire is None:
            limit = self._limits[is_slow]
            if has_tls:
                wire = _TlsWire(limit)
            else:
                wire = _PlainWire(limit)
            self._wires[is_slow, has_tls] = wire
        return wire

    async def close(self) -> None:
        """Close all connections."""
        while self._wires:
            _, wire = self._wires.popitem()
            await wire.close()


class _PlainWire:
    """HTTP over ``ConnectionPool``."""

    def __init__(self, limit: int) -> None:
        self._pool = ConnectionPool(limit, KEEPALIVE_S)
        self._target = lru_cache(maxsize=_KNOWN_TARGETS)(_plain_target)

    async def exchange(self, base: str, call: Call, fields: dict[str, str], connect_timeout_s: float) -> Response:
        """Send the call; as ``_Wire.exchange``."""
        address, begin = self._target(base, call.method, call.path)
        lines = [f"{name}: {value}\r\n" for name, value in fields.items()]
        head = f"{begin}{''.join(lines)}content-length: {len(call.body)}\r\n\r\n".encode("latin-1", "replace")
        try:
            return await self._pool.exchange(address, head, call.body, connect_timeout_s)
        except ConnectTimeoutError as error:
            raise UnreachableError(str(error)) from error
        except ConnectError as error:
            raise UnreachableError(f"{base}: {error.strerror or error}", error.errno) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()


class _TlsWire:
    """HTTPS over aiohttp."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._session: aiohttp.ClientSession | None = None

    async def exchange(self, base: str, call: Call, fields: dict[str, str], connect_timeout_s: float) -> Response:
        """Send the call; as ``_Wire.exchange``."""
        import aiohttp

        session = self._session or self._open()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s)
        try:
            # read to the end, the connection goes back to the pool without a context manager
            response = await session.request(
                call.method, base + call.path, data=call.body, headers=fields, allow_redirects=False, timeout=timeout
            )
            body = await response.read()
        except aiohttp.ClientConnectorError as error:
            raise UnreachableError(str(error), error.os_error.errno) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise UnreachableError(f"{base} did not accept a connection in time") from error
        except TimeoutError:
            raise  # the call's own deadline
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenConnectionError(str(error) or type(error).__name__) from error
        headers = [(name.lower(), value) for name, value in response.raw_headers]
        return Response(response.status, headers, body)

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        connector = aiohttp.TCPConnector(limit=self._limit, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=10)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=STATIC_HEADERS
        )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def remaining_time(deadline: float | None) -> float:
    """Seconds left; a deadline that has passed leaves a millisecond, so that the call fails as a timeout."""
    if deadline is None:
        return DEFAULT_TIMEOUT_S
    return max(0.001, deadline - time.monotonic())


def _plain_target(base: str, method: str, path: str) -> tuple[Address, str]:
    """The target of a request and its constant start: request line and fixed header fields."""
    parts = urlsplit(base)
    target = quote(parts.path + path, safe=_SAFE_IN_TARGET, errors="replace")
    begin = f"{method} {target} HTTP/1.1\r\nhost: {parts.netloc}\r\n{_STATIC_FIELDS}"
    return (parts.hostname or "localhost", parts.port or 80), begin


def _reply(base: str, response: Response) -> Reply:
    reply = Reply(response.status, response.body)
    for name, value in response.headers:
        if name == b"content-type":
            reply.media_type = value.decode("latin-1").partition(";")[0]
        elif name == b"set-cookie":
            cookie, _, content = value.decode("latin-1").partition(";")[0].partition("=")
            reply.cookies[cookie.strip()] = content.strip()
        elif name in _PASSED_ON:
            reply.headers[_PASSED_ON[name]] = value.decode("latin-1")
        elif name == _NOT_TAKEN and response.status == 503:
            raise UnreachableError(f"{base} is shutting down", errno.ECONNREFUSED)
    return reply
