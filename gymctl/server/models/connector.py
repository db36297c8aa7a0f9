"""The pool of connections to model endpoints: a connection with unsolicited data is not used again.

A second response on a kept-alive connection would be taken as the answer to the next request, which is another
rollout's. So a connection is closed when it holds bytes before a request is sent, and rests for a moment after each
response, in which such a second one arrives.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import aiohttp

from gymctl.server.calls.http_connection import has_no_data

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection

# Long for a stray response, which is sent with the first or right after it; short compared with a model's answer.
REST_S = 0.1


class QuietConnector(aiohttp.TCPConnector):
    """Gives out connections that are silent, and have been for ``REST_S``."""

    async def _get(self, key: ConnectionKey, traces: list[Any]) -> Connection | None:
        """As in aiohttp, but for the connections that are not quiet; None has a new one opened."""
        waiting = self._conns.get(key)
        # the one that was given back first is given out first, so if it has not rested, none has
        while waiting and (rested := time.monotonic() - waiting[0][1]) >= REST_S:
            if rested < (self._keepalive_timeout or rested + 1) and _is_quiet(waiting[0][0]):
                return await super()._get(key, traces)
            waiting.popleft()[0].close()
        if waiting is not None and not waiting:
            del self._conns[key]
        return None


def _is_quiet(protocol: ResponseHandler) -> bool:
    """Whether nothing has come in since the last response: neither parsed by aiohttp, nor still in the socket."""
    if protocol.should_close or protocol.transport is None or protocol.transport.is_closing():
        return False
    return has_no_data(protocol.transport)
