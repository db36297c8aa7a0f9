"""Calls from one process to servers of its own, and to some that run elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from gymctl.server.calls.client import Transport
from gymctl.server.calls.http import HttpTransport
from gymctl.server.message import Call, Reply


class WithElsewhere:
    """A transport whose calls to the servers of ``urls`` (base URL by name) go over HTTP; others go ``here``."""

    def __init__(self, here: Transport, urls: Mapping[str, str]) -> None:
        self._here = here
        self._urls = urls
        self._elsewhere = HttpTransport(urls)

    async def send(self, server: str, call: Call) -> Reply:
        """Deliver a call; as ``Transport.send``."""
        if server in self._urls:
            return await self._elsewhere.send(server, call)
        return await self._here.send(server, call)

    async def close(self) -> None:
        """Release the connections."""
        await self._elsewhere.close()
        await self._here.close()
