"""Calls from one server to another by name, over HTTP or within the process."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from gymctl.errors import RunError
from gymctl.server.deadlines import Deadlines
from gymctl.server.message import DEADLINE_HEADER, JSON, Call, Reply

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

    from gymctl.server.base import Server

# A call without a deadline of its own still ends: upstream has no timeout at all, and waits for ever.
DEFAULT_TIMEOUT_S = 1800.0
# Client keep-alive must be shorter than the servers' (75 s): the other way round a request meets a closing socket.
KEEPALIVE_S = 15.0
# Said once: aiohttp's own defaults are put together again for every request. Our servers do not compress.
STATIC_HEADERS = {"content-type": JSON, "accept": "*/*", "accept-encoding": "identity", "user-agent": "gymctl"}
_BODY_HEAD = 2048
_TOO_LATE_S = 0.05


class HopFailed(RunError):  # noqa: N818 - it is data about a hop as much as an error
    """A call to another server failed.

    ``hop`` is the server called, ``status`` its HTTP status (0 when there was no reply), ``kind`` one of ``connect``,
    ``reset``, ``timeout``, ``status``; ``cause`` is the innermost failing hop as a JSON-ready mapping.
    """

    def __init__(
        self,
        hop: str,
        path: str,
        *,
        status: int = 0,
        body: str = "",
        kind: str = "status",
        retry_after: float | None = None,
        cause: Mapping[str, Any] | None = None,
    ) -> None:
        answered = (
            f"answered {status}"
            if status
            else {"connect": "cannot be reached", "timeout": "timed out"}.get(kind, "broke off")
        )
        # a failure that was passed on is told in the words of the hop where it happened, not of all on the way back
        super().__init__(body[:600] if cause else f"{hop}: POST {path} {answered}{f': {body[:300]}' if body else ''}")
        self.hop, self.path, self.status, self.body = hop, path, status, body[:_BODY_HEAD]
        self.kind, self.retry_after = kind, retry_after
        own = {"hop": hop, "path": path, "status": status, "body": self.body, "kind": kind}
        self.cause: dict[str, Any] = dict(cause) if cause else own

    @classmethod
    def of(cls, hop: str, path: str, reply: Reply) -> HopFailed:
        """The failure that an error reply stands for; a cause that the reply itself names is kept as the innermost."""
        text = reply.body[:_BODY_HEAD].decode("utf-8", "replace")
        cause = None
        if b'"cause"' in reply.body:
            try:
                parsed = reply.json()
            except ValueError:
                parsed = None
            if isinstance(parsed, dict) and isinstance(parsed.get("cause"), dict):
                cause, text = parsed["cause"], str(parsed.get("detail", text))
        retry_after = parse_retry_after(reply.headers.get("retry-after"))
        return cls(hop, path, status=reply.status, body=text, retry_after=retry_after, cause=cause)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header in its number form; a date or anything else is None."""
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None


class Transport(Protocol):
    """How a call gets to a server of a given name."""

    async def send(self, server: str, call: Call) -> Reply:
        """Deliver the call and return the reply, whatever its status; raise ``HopFailed`` when there is none."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class Client:
    """Calls servers by name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def post(
        self,
        server: str,
        path: str,
        body: bytes,
        *,
        cookies: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        """POST ``body`` to a server and return its reply, whatever the status.

        Raises:
            HopFailed: there was no reply (connect, reset, timeout).
        """
        return await self._transport.send(server, Call(path, body, "POST", cookies or {}, deadline))

    async def get(self, server: str, path: str, *, deadline: float | None = None) -> Reply:
        """GET from a server; as ``post``."""
        return await self._transport.send(server, Call(path, b"", "GET", {}, deadline))

    async def ask(
        self,
        server: str,
        path: str,
        body: bytes,
        *,
        cookies: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        """As ``post``, but an error status raises too.

        Raises:
            HopFailed: no reply, or one of status 400 and above.
        """
        reply = await self._transport.send(server, Call(path, body, "POST", cookies or {}, deadline))
        if reply.status >= 400:
            raise HopFailed.of(server, path, reply)
        return reply

    async def close(self) -> None:
        """Release connections."""
        await self._transport.close()


class HttpTransport:
    """Calls over HTTP with pooled connections.

    Args:
        urls: base URL by server name.
        limit: connections at most; further calls wait in line (a pool of about 1,024 beats 16,384 sockets in time
            and in memory).
        slow: names of servers whose answers take seconds, the models. They have a pool of their own, lest the quick
            calls stand in line behind them.
        slow_limit: connections at most to those; ``limit`` when None.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        limit: int = 1024,
        *,
        slow: Collection[str] = (),
        slow_limit: int | None = None,
    ) -> None:
        self._urls = {name: url.rstrip("/") for name, url in urls.items()}
        self._limits = {False: limit, True: slow_limit or limit}
        self._slow = frozenset(slow)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._deadlines = Deadlines()
        self._url = lru_cache(maxsize=1024)(self._make_url)  # bounded: a model makes up the names of tools

    async def send(self, server: str, call: Call) -> Reply:
        """Deliver one call; a refused connection is tried again for a few seconds, since nothing was sent yet."""
        import aiohttp

        try:
            return await self._send(server, call)
        except aiohttp.ClientConnectorError as error:
            first = error
        try:
            return await self._send_patiently(server, call, first)
        except aiohttp.ClientConnectorError as error:
            raise HopFailed(server, call.path, kind="connect", body=str(error)) from first

    async def _send_patiently(self, server: str, call: Call, first: aiohttp.ClientConnectorError) -> Reply:
        import aiohttp
        import stamina

        async def again() -> Reply:
            if _remaining(call.deadline) < _TOO_LATE_S:
                raise first  # a try would end as a timeout, and hide that nobody listens
            return await self._send(server, call)

        def may_pass(error: Exception) -> bool:
            return isinstance(error, aiohttp.ClientConnectorError) and error is not first

        logging.getLogger("stamina").setLevel(logging.ERROR)  # a retry that fails is told by its reply
        patience = min(5.0, _remaining(call.deadline))
        retrying = stamina.AsyncRetryingCaller(attempts=8, timeout=patience, wait_initial=0.05, wait_max=1.0)
        return await retrying.on(may_pass)(again)

    async def _send(self, server: str, call: Call) -> Reply:
        import aiohttp

        slow = server in self._slow
        session = self._sessions.get(slow) or self._open(slow)
        url = self._url(server, call.path)
        remaining = _remaining(call.deadline)
        headers = {DEADLINE_HEADER: str(int(remaining * 1000))}
        if call.cookies:
            headers["cookie"] = "; ".join([f"{name}={value}" for name, value in call.cookies.items()])
        try:
            with self._deadlines.until(time.monotonic() + remaining):
                # Awaited, and read to the end, the connection goes back to the pool without a context manager's help.
                response = await session.request(
                    call.method, url, data=call.body, headers=headers, allow_redirects=False
                )
                return _reply(response, await response.read())
        except aiohttp.ClientConnectorError:
            raise
        except TimeoutError as error:
            raise HopFailed(server, call.path, kind="timeout", body=f"no reply within {remaining:.1f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise HopFailed(server, call.path, kind="reset", body=str(error) or type(error).__name__) from error

    def _make_url(self, server: str, path: str) -> URL:
        from yarl import URL

        base = self._urls.get(server)
        if base is None:
            raise HopFailed(server, path, kind="connect", body=f"no server of the name {server!r} is known here")
        return URL(base + path)

    def _open(self, slow: bool) -> aiohttp.ClientSession:
        import aiohttp

        connector = aiohttp.TCPConnector(
            limit=self._limits[slow], limit_per_host=0, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=10
        )
        self._sessions[slow] = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),  # ``Deadlines`` keeps the time of all calls
            headers=STATIC_HEADERS,
        )
        return self._sessions[slow]

    async def close(self) -> None:
        """Close all connections."""
        while self._sessions:
            await self._sessions.popitem()[1].close()


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


class LocalTransport:
    """Calls within the process: no socket, no header, the same bodies."""

    def __init__(self, servers: Mapping[str, Server]) -> None:
        self._servers = servers
        self._deadlines = Deadlines()

    async def send(self, server: str, call: Call) -> Reply:
        """Hand the call to the server; a deadline ends it as it would over HTTP."""
        target = self._servers.get(server)
        if target is None:
            raise HopFailed(server, call.path, kind="connect", body=f"no server of the name {server!r} is known here")
        if call.deadline is None:
            return await target.handle(call)
        try:
            with self._deadlines.until(call.deadline):
                return await target.handle(call)
        except TimeoutError as error:
            raise HopFailed(server, call.path, kind="timeout", body="no reply before the deadline") from error

    async def close(self) -> None:
        """Nothing is held."""
