"""Calls to servers over HTTP: pooled connections, every call with an end, replicas of one name told apart."""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gymctl.server.calls.client import KEEPALIVE_S, SESSION_LOST, HopFailed
from gymctl.server.calls.deadlines import Deadlines
from gymctl.server.calls.replicas import Replicas, Resolve, resolve, stands_for_replicas
from gymctl.server.message import DEADLINE_HEADER, JSON, NOT_TAKEN_HEADER, Call, Reply
from gymctl.server.settings import DEFAULT_PATIENCE_S

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

# A call without a deadline of its own still ends: upstream has no timeout at all, and waits for ever.
DEFAULT_TIMEOUT_S = 1800.0
# Said once: aiohttp's own defaults are put together again for every request. Our servers do not compress.
STATIC_HEADERS = {"content-type": JSON, "accept": "*/*", "accept-encoding": "identity", "user-agent": "gymctl"}
_CONNECT_S = 30.0
_CONNECT_TO_REPLICA_S = 4.0  # a machine that is gone does not even refuse; another replica is there
_TOO_LATE_S = 0.05
# A peer's machine that vanished is noticed while its answer is awaited: probes after 10 s, given up at 25 s.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
_UNSENT_MS = 25_000
_NOBODY_THERE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNRESET)


class _UnreachableError(Exception):
    """No connection came about, so nothing was sent; ``number`` is the system's error number."""

    def __init__(self, text: str, number: int | None = None) -> None:
        super().__init__(text)
        self.number = number


class HttpTransport:
    """Calls over HTTP with pooled connections.

    Args:
        urls: base URL by server name. A host that is a name (and not localhost) stands for all addresses it has.
        limit: connections at most; further calls wait in line (a pool of about 1,024 beats 16,384 sockets in time
            and in memory).
        slow: names of servers whose answers take seconds, the models. They have a pool of their own, lest the quick
            calls stand in line behind them.
        slow_limit: connections at most to those; ``limit`` when None.
        resolve: how the addresses of a name are found.
        patience_s: seconds that a call waits for a server that nobody answers for. More than the default says that
            servers here come and go by design: an address that is silent is soon given up too.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        limit: int = 1024,
        *,
        slow: Collection[str] = (),
        slow_limit: int | None = None,
        resolve: Resolve = resolve,
        patience_s: float = DEFAULT_PATIENCE_S,
    ) -> None:
        self._patience_s, self._moving = patience_s, patience_s > DEFAULT_PATIENCE_S
        self._bases = {name: url.rstrip("/") for name, url in urls.items()}
        self._replicas = {name: Replicas(name, base, resolve) for name, base in self._bases.items() if _is_spread(base)}
        self._limits = {False: limit, True: slow_limit or limit}
        self._slow = frozenset(slow)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._deadlines = Deadlines()
        self._url = lru_cache(maxsize=4096)(_url)  # bounded: a model makes up the names of tools
        self._timeouts: dict[bool, aiohttp.ClientTimeout] = {}

    async def send(self, server: str, call: Call) -> Reply:
        """Deliver one call; a refused connection is tried again for ``patience_s``, since nothing was sent yet."""
        try:
            return await self._to(server, call)
        except _UnreachableError as error:
            first = error
        try:
            return await self._patiently(server, call, first)
        except _UnreachableError as error:
            raise HopFailed(server, call.path, kind="connect", body=str(error)) from first

    async def _patiently(self, server: str, call: Call, first: _UnreachableError) -> Reply:
        import stamina

        async def again() -> Reply:
            if _remaining(call.deadline) < _TOO_LATE_S:
                raise first  # a try would end as a timeout, and hide that nobody listens
            return await self._to(server, call)

        def may_pass(error: Exception) -> bool:
            return isinstance(error, _UnreachableError) and error is not first

        logging.getLogger("stamina").setLevel(logging.ERROR)  # a retry that fails is told by its reply
        patience = min(self._patience_s, _remaining(call.deadline))
        retrying = stamina.AsyncRetryingCaller(attempts=None, timeout=patience, wait_initial=0.05, wait_max=1.0)
        return await retrying.on(may_pass)(again)

    async def _to(self, server: str, call: Call) -> Reply:
        replicas = self._replicas.get(server)
        if replicas is not None:
            only = replicas.only(call.cookies)
            if only is None:
                return await self._to_replica(replicas, call)
            try:
                reply = await self._send(server, call, only)
            except _UnreachableError:
                replicas.refused(replicas.addresses[0])
                raise
            if not call.cookies:
                replicas.began(replicas.addresses[0], reply.cookies)
            return reply
        base = self._bases.get(server)
        if base is None:
            raise HopFailed(server, call.path, kind="connect", body=f"no server of the name {server!r} is known here")
        return await self._send(server, call, base)

    # -- a name that stands for several, or for nobody knows whom yet

    async def _to_replica(self, replicas: Replicas, call: Call) -> Reply:
        """To the replica that has the session, or to any; when that one does not listen, to the next."""
        if not await replicas.known():
            raise _UnreachableError(f"the name {replicas.host} has no address: no replica of it runs")
        place = replicas.place(call.cookies) if call.cookies else None
        if place is not None:
            return await self._to_session(replicas, call, place)
        return await self._to_any(replicas, call)

    async def _to_session(self, replicas: Replicas, call: Call, place: str) -> Reply:
        if await replicas.has(place):
            try:
                return await self._to_address(replicas, call, place)
            except _UnreachableError as error:
                if error.number not in _NOBODY_THERE:
                    raise
                replicas.refused(place)
        lost = f"the replica of {replicas.name} that held this session ({place}) is gone"
        raise HopFailed(replicas.name, call.path, kind=SESSION_LOST, body=lost)

    async def _to_any(self, replicas: Replicas, call: Call) -> Reply:
        """Also a call that a replica took and died over goes to another one: no session, so nothing hangs on it."""
        broke_off = False
        for _ in replicas.addresses[1:]:
            address = replicas.choose()
            try:
                return await self._to_address(replicas, call, address)
            except _UnreachableError:
                replicas.refused(address)
            except HopFailed as failure:
                if failure.kind != "reset" or broke_off:
                    raise
                replicas.refused(address)
                broke_off = True  # once: a request that kills whatever takes it is not handed round
        address = replicas.choose()
        try:
            return await self._to_address(replicas, call, address)
        except _UnreachableError:
            replicas.refused(address)
            raise

    async def _to_address(self, replicas: Replicas, call: Call, address: str) -> Reply:
        replicas.begin(address)
        try:
            reply = await self._send(replicas.name, call, replicas.base(address), among=len(replicas.addresses) > 1)
        finally:
            replicas.end(address)
        if not call.cookies:
            replicas.began(address, reply.cookies)
        return reply

    # -- one address

    async def _send(self, server: str, call: Call, base: str, *, among: bool = False) -> Reply:
        import aiohttp

        slow = server in self._slow
        session = self._sessions.get(slow) or self._open(slow)
        remaining = _remaining(call.deadline)
        headers = {DEADLINE_HEADER: str(int(remaining * 1000))}
        if call.cookies:
            headers["cookie"] = "; ".join([f"{name}={value}" for name, value in call.cookies.items()])
        try:
            with self._deadlines.until(time.monotonic() + remaining):
                # Awaited, and read to the end, the connection goes back to the pool without a context manager's help.
                response = await session.request(
                    call.method,
                    self._url(base, call.path),
                    data=call.body,
                    headers=headers,
                    allow_redirects=False,
                    timeout=self._timeouts[among or self._moving],
                )
                reply = _reply(response, await response.read())
        except aiohttp.ClientConnectorError as error:
            raise _UnreachableError(str(error), error.os_error.errno) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise _UnreachableError(f"{base} did not take a connection in time") from error
        except TimeoutError as error:
            raise HopFailed(server, call.path, kind="timeout", body=f"no reply within {remaining:.1f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise HopFailed(server, call.path, kind="reset", body=str(error) or type(error).__name__) from error
        if reply.status == 503 and NOT_TAKEN_HEADER in response.headers:
            raise _UnreachableError(f"{base} is leaving", errno.ECONNREFUSED)
        return reply

    def _open(self, slow: bool) -> aiohttp.ClientSession:
        import aiohttp

        # ``Deadlines`` keeps the time of all calls; made once, since aiohttp takes a while to merge a session's own
        self._timeouts = {
            among: aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TO_REPLICA_S if among else _CONNECT_S)
            for among in (False, True)
        }
        connector = aiohttp.TCPConnector(
            limit=self._limits[slow],
            limit_per_host=0,
            keepalive_timeout=KEEPALIVE_S,
            ttl_dns_cache=10,
            socket_factory=_socket,
        )
        self._sessions[slow] = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=STATIC_HEADERS
        )
        return self._sessions[slow]

    async def close(self) -> None:
        """Close all connections."""
        while self._sessions:
            await self._sessions.popitem()[1].close()


def _is_spread(base: str) -> bool:
    from urllib.parse import urlsplit

    parts = urlsplit(base)
    plain = parts.scheme == "http" and parts.port is not None and not parts.path  # a certificate is a name's
    return plain and stands_for_replicas(parts.hostname or "localhost")


def _url(base: str, path: str) -> URL:
    from yarl import URL

    return URL(base + path)


def _socket(address: Any) -> socket.socket:
    """A socket whose peer is probed while it is silent; ``address`` is what ``getaddrinfo`` gave."""
    opened = socket.socket(*address[:3])
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        opened.setsockopt(socket.IPPROTO_TCP, option, value)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNSENT_MS)
    return opened


def _remaining(deadline: float | None) -> float:
    """Seconds left; a deadline that has passed leaves a millisecond, so that the call fails as a timeout."""
    return DEFAULT_TIMEOUT_S if deadline is None else max(0.001, deadline - time.monotonic())


def _reply(response: aiohttp.ClientResponse, body: bytes) -> Reply:
    given = response.headers
    cookies: dict[str, str] = {}
    for value in given.getall("set-cookie", ()):
        name, _, content = value.partition(";")[0].partition("=")
        cookies[name.strip()] = content.strip()
    headers = {name: given[name] for name in ("retry-after", "server-timing") if name in given}
    return Reply(response.status, body, cookies, headers, given.get("content-type", JSON).partition(";")[0])
