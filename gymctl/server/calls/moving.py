"""Calls to servers that may be started again at other addresses, as a local stack is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from gymctl.server.calls.client import HopFailed, Transport
from gymctl.server.message import Call, Reply

Look = Callable[[], Mapping[str, str] | None]
"""The base URLs by name as they are now; None while the servers do not run."""

_LOOK_EVERY_S = 0.1


class MovingTransport:
    """Passes calls to a transport for the current addresses; calls fail while the servers are not running.

    Args:
        look: where the servers are.
        connect: a transport for such addresses.
    """

    def __init__(self, look: Look, connect: Callable[[Mapping[str, str]], Transport]) -> None:
        self._look = look
        self._connect = connect
        self._urls: Mapping[str, str] | None = None
        self._transport: Transport | None = None
        self._looked = float("-inf")

    async def send(self, server: str, call: Call) -> Reply:
        """Deliver the call; as ``Transport.send``."""
        if time.monotonic() - self._looked >= _LOOK_EVERY_S:
            await self._follow()
        if self._transport is None:
            text = "the stack has stopped; start it again with `gymctl up`"
            raise HopFailed(server, call.path, kind="connect", body=text)
        return await self._transport.send(server, call)

    async def _follow(self) -> None:
        self._looked = time.monotonic()
        urls = self._look()
        if urls == self._urls:
            return
        before, self._transport = self._transport, None if urls is None else self._connect(urls)
        self._urls = urls
        if before is not None:
            await before.close()  # calls in progress there end as calls to a server that has stopped

    async def close(self) -> None:
        """Release connections."""
        if self._transport is not None:
            await self._transport.close()
