"""Calls to servers of other machines: the head knows where they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from gymctl.server.calls.client import HopFailed, Transport
from gymctl.server.calls.http import HttpTransport
from gymctl.server.hop_tokens import TokenFile
from gymctl.server.message import Call, Reply

# How long a call waits for a server that has not registered (yet, or again) before it fails.
PATIENCE_S = 10.0
_ASK_EVERY_S = 1.0
_ASK_TIMEOUT_S = 5.0


class _Way:
    """Connections to one server at one address."""

    def __init__(self, server: str, url: str, limit: int, tokens: TokenFile | None) -> None:
        self.url = url
        self._server = server
        self._transport = HttpTransport({server: url}, limit, tokens=tokens)
        self._calls = 0
        self._retired = False

    async def send(self, call: Call) -> Reply:
        """Deliver a call; as ``Transport.send``."""
        self._calls += 1
        try:
            return await self._transport.send(self._server, call)
        finally:
            self._calls -= 1
            await self._close_when_over()

    async def retire(self) -> None:
        """Close the connections once the last call over them has ended."""
        self._retired = True
        await self._close_when_over()

    async def _close_when_over(self) -> None:
        if self._retired and not self._calls:
            await self._transport.close()

    async def close(self) -> None:
        """Close the connections, now or when the last call has ended."""
        await self._transport.close()


class Ways:
    """Connections to servers by name and base URL; each pair has a pool of its own, kept while the URL stays."""

    def __init__(self, limit: int = 1024, tokens: TokenFile | None = None) -> None:
        self._limit = limit
        self._tokens = tokens
        self._ways: dict[str, _Way] = {}

    async def send(self, server: str, url: str, call: Call) -> Reply:
        """Deliver a call to ``server`` at ``url``; as ``Transport.send``."""
        way = self._ways.get(server)
        if way is None or way.url != url:
            before, way = way, _Way(server, url, self._limit, self._tokens)
            self._ways[server] = way  # before anything is waited for: the next caller must find it
            if before is not None:
                await before.retire()
        return await way.send(call)

    async def close(self) -> None:
        """Close all connections."""
        while self._ways:
            await self._ways.popitem()[1].close()


class Directory:
    """Where the servers of other machines are, asked of the head when a name is not known or leads nowhere."""

    def __init__(self, head_url: str) -> None:
        self._head = head_url
        self._urls: dict[str, str] = {}
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")
        self._why = ""
        self._ways = Ways(limit=8)

    async def url(self, server: str, deadline: float | None, *, not_this: str | None = None) -> str:
        """The base URL of a registered server; with ``not_this`` the head is asked again whether it has moved.

        Raises:
            HopFailed: it was not registered within ``PATIENCE_S`` seconds or before the deadline.
        """
        until = min(time.monotonic() + PATIENCE_S, deadline if deadline is not None else float("inf"))
        if not_this is not None:
            await self._ask()
            return self._urls.get(server, not_this)
        while (url := self._urls.get(server)) is None:
            if time.monotonic() >= until:
                reason = self._why or f"no machine has registered the server {server!r} with the head at {self._head}"
                raise HopFailed(server, "", kind="connect", body=reason)
            await self._ask()
            if server not in self._urls:
                await asyncio.sleep(min(_ASK_EVERY_S, max(0.0, until - time.monotonic())))
        return url

    async def _ask(self) -> None:
        """Ask the head, once for all who wait and not more often than once a second."""
        if self._asking is None or self._asking.done():
            if time.monotonic() - self._asked_at < _ASK_EVERY_S:
                return
            self._asking = asyncio.create_task(self._refresh())
        await asyncio.shield(self._asking)

    async def _refresh(self) -> None:
        self._asked_at = time.monotonic()
        call = Call("/nodes", method="GET", deadline=time.monotonic() + _ASK_TIMEOUT_S)
        try:
            reply = await self._ways.send("head", self._head, call)
            if reply.status == 200:
                nodes = reply.json()
            else:
                nodes = None
        except (HopFailed, ValueError) as error:
            nodes = None
            self._why = f"the head at {self._head} cannot be reached: {error}"
        if nodes is not None:
            self._why = ""
            there = (server for node in nodes if node["state"] == "there" for server in node["servers"])
            self._urls = {server["name"]: server["url"] for server in there}

    async def close(self) -> None:
        """Close connections."""
        await self._ways.close()


class AcrossMachines:
    """A transport that sends calls of ``remote`` servers to the addresses from the head, and passes on all others."""

    def __init__(self, here: Transport, remote: Collection[str], head_url: str, limit: int = 1024) -> None:
        self._here = here
        self._remote = frozenset(remote)
        self._directory = Directory(head_url)
        self._ways = Ways(limit)

    async def send(self, server: str, call: Call) -> Reply:
        """Deliver the call. If the connection fails, try once more at the address that the server may have moved to."""
        if server not in self._remote:
            return await self._here.send(server, call)
        url = await self._directory.url(server, call.deadline)
        try:
            return await self._ways.send(server, url, call)
        except HopFailed as failure:
            if failure.kind != "connect":
                raise
            moved = await self._directory.url(server, call.deadline, not_this=url)
            if moved == url:
                raise
            return await self._ways.send(server, moved, call)

    async def close(self) -> None:
        """Release connections."""
        await self._here.close()
        await self._ways.close()
        await self._directory.close()
