"""Connections to servers, kept open between calls and bounded in number."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial

from gymctl.server.calls.http_connection import Connection, Response

# A peer's machine that vanished is noticed while its answer is awaited: probes after 10 s, given up at 25 s.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
_UNSENT_MS = 25_000

Address = tuple[str, int]
"""Host and port, as ``getaddrinfo`` takes them."""


class ConnectTimeoutError(TimeoutError):
    """No connection came about in time, so nothing was sent."""


class ConnectError(OSError):
    """No connection came about, so nothing was sent; ``errno`` is the system's error number."""


@dataclass(slots=True)
class _Idle:
    """Open connections to one address that wait for a call, the one used last at the end."""

    connections: deque[tuple[float, Connection]] = field(default_factory=deque)
    """Each with the time (``time.monotonic()``) at which it was put back."""


class ConnectionPool:
    """Calls over connections that are kept.

    Args:
        limit: connections at most, over all addresses; further calls wait in line.
        keepalive_s: seconds that an unused connection is kept. Shorter than the servers', which would otherwise close
            a connection at the moment a request is sent on it.
        most_bytes: of the body of a response.
    """

    def __init__(self, limit: int, keepalive_s: float, most_bytes: int = sys.maxsize) -> None:
        self._connection = partial(Connection, most_bytes)
        self._limit = limit
        self._keepalive_s = keepalive_s
        self._places = asyncio.Semaphore(limit)
        self._idle: dict[Address, _Idle] = {}
        self._open = 0
        self._sweep: asyncio.TimerHandle | None = None

    async def exchange(self, address: Address, head: bytes, body: bytes, connect_timeout_s: float) -> Response:
        """Send a request and return its response; see ``Connection.exchange``.

        Raises:
            ConnectError: no connection could be made, or none within ``connect_timeout_s`` (``ConnectTimeoutError``).
            BrokenConnectionError: the response is missing or incomplete; the server may have handled the request.
        """
        async with self._places:
            connection = self._take(address) or await self._connect(address, connect_timeout_s)
            try:
                return await connection.exchange(head, body)
            finally:
                self._put_back(address, connection)

    def _take(self, address: Address) -> Connection | None:
        """The connection that was used last; older ones are more likely to be closed by now."""
        idle = self._idle.get(address)
        if idle is None:
            return None
        oldest = time.monotonic() - self._keepalive_s
        while idle.connections:
            since, connection = idle.connections.pop()
            if connection.reusable and since > oldest:
                return connection
            self._discard(connection)
        return None

    async def _connect(self, address: Address, timeout_s: float) -> Connection:
        while self._open >= self._limit and self._discard_oldest():
            pass
        self._open += 1
        is_open = False
        try:
            connection = await self._open_connection(address, timeout_s)
            is_open = True
        finally:
            if not is_open:
                self._open -= 1
        return connection

    async def _open_connection(self, address: Address, timeout_s: float) -> Connection:
        host, port = address
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                transport, connection = await loop.create_connection(self._connection, host, port)
        except TimeoutError as error:
            if not limit.expired():  # the system's own timeout
                raise ConnectError(error.errno, str(error)) from error
            raise ConnectTimeoutError(f"{host}:{port} did not accept a connection in time") from error
        except OSError as error:
            raise ConnectError(error.errno, str(error)) from error
        _probe_while_silent(transport)
        return connection

    def _put_back(self, address: Address, connection: Connection) -> None:
        if not connection.reusable:
            self._discard(connection)
            return
        idle = self._idle.get(address)
        if idle is None:
            idle = self._idle[address] = _Idle()
        idle.connections.append((time.monotonic(), connection))
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._keepalive_s, self._discard_old)

    def _discard(self, connection: Connection) -> None:
        self._open -= 1
        connection.close()

    def _discard_oldest(self) -> bool:
        """Close the connection that was idle longest, over all addresses; False when none is idle."""
        waiting = [idle for idle in self._idle.values() if idle.connections]
        if not waiting:
            return False
        idle = min(waiting, key=lambda other: other.connections[0][0])
        self._discard(idle.connections.popleft()[1])
        return True

    def _discard_old(self) -> None:
        """Close connections that have been idle for a while, and forget addresses without connections."""
        oldest = time.monotonic() - self._keepalive_s
        for address, idle in list(self._idle.items()):
            while idle.connections and idle.connections[0][0] <= oldest:
                self._discard(idle.connections.popleft()[1])
            if not idle.connections:
                del self._idle[address]
        self._sweep = None
        if self._idle:
            self._sweep = asyncio.get_running_loop().call_later(self._keepalive_s / 2, self._discard_old)

    async def close(self) -> None:
        """Close all idle connections; those in use close with their call."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        while self._discard_oldest():
            pass
        self._idle.clear()
        await asyncio.sleep(0)  # asyncio closes sockets in the next round of its loop


class RestingPool(ConnectionPool):
    """Connections to servers that may send more than was asked for, each of which rests after a response.

    A second response on a kept-alive connection would be taken as the answer to the next request, which is another
    rollout's. So a connection is closed when it holds bytes before a request is sent, and rests for a moment, in which
    such a second response arrives.

    Args:
        rest_s: seconds that a connection rests. Long for a stray response, which is sent with the first or right after
            it; short compared with a model's answer.
    """

    def __init__(self, limit: int, keepalive_s: float, most_bytes: int = sys.maxsize, rest_s: float = 0.1) -> None:
        super().__init__(limit, keepalive_s, most_bytes)
        self._rest_s = rest_s

    def _take(self, address: Address) -> Connection | None:
        """The connection that has rested longest; None when it has not rested for long enough."""
        idle = self._idle.get(address)
        if idle is None:
            return None
        now = time.monotonic()
        while idle.connections and idle.connections[0][0] <= now - self._rest_s:
            since, connection = idle.connections.popleft()
            if connection.reusable and since > now - self._keepalive_s and connection.is_silent:
                return connection
            self._discard(connection)
        return None


def _probe_while_silent(transport: asyncio.BaseTransport) -> None:
    """Let the kernel detect a peer whose machine has vanished."""
    opened = transport.get_extra_info("socket")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        opened.setsockopt(socket.IPPROTO_TCP, option, value)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNSENT_MS)
