"""A connection that answers requests of a server's endpoints directly, without ASGI.

For each request, uvicorn calls an application with a dictionary and two functions, and checks what it sends. That costs
as much as the rest of a small request. Here the body of such a request is collected, the server handles the call, and
the reply is one write. All other requests (FastAPI routes, refused and pipelined requests, ``Expect: 100-continue``)
take uvicorn's way to the same application.
"""

from __future__ import annotations

import asyncio
import logging
import re
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, cast

from gymctl.server.asgi import Application, call_of, reply_headers
from gymctl.server.message import Reply, json_reply
from gymctl.server.run.bounded_connection import BoundedConnection

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from gymctl.server.endpoints import Endpoint

log = logging.getLogger("gymctl.server")

# Rounds of the loop until a hang-up that came with the request is reported here: two (``gymctl.server.disconnect``).
_ROUNDS_UNTIL_HANG_UP = 3
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class DirectConnection(BoundedConnection):
    """Answers complete requests of endpoints with one write."""

    _exchange: _Exchange | None = None

    def on_headers_complete(self) -> None:
        """Begin an exchange for a request of an endpoint; leave any other request to uvicorn."""
        application: object = self.app
        if not isinstance(application, Application):
            super().on_headers_complete()
            return
        endpoint = self._endpoint(application)
        if endpoint is None:
            super().on_headers_complete()
            return
        self._begin_part(is_body=True)
        self._exchange = _Exchange(self, application, endpoint)
        self.cycle = cast("RequestResponseCycle", self._exchange)

    def _endpoint(self, application: Application) -> Endpoint | None:
        """The endpoint of a request that can be answered directly."""
        is_waiting = self.cycle is not None and not self.cycle.response_complete
        if is_waiting or self.expect_100_continue or self.parser.get_http_version() != "1.1":
            return None
        if self.parser.should_upgrade() or b"%" in self.url:
            return None
        scope = cast("MutableMapping[str, Any]", self.scope)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = self.url.partition(b"?")[0].decode("ascii")
        return application.unrefused_endpoint(scope)

    def on_body(self, body: bytes) -> None:
        """Collect a part of the body."""
        exchange = self._incoming
        if exchange is None:
            super().on_body(body)
        else:
            exchange.add(body)

    def on_message_complete(self) -> None:
        """Handle the request, which is complete."""
        exchange = self._incoming
        if exchange is None:
            super().on_message_complete()
        else:
            exchange.start()
            self._begin_part(is_body=False)

    @property
    def _incoming(self) -> _Exchange | None:
        """The exchange whose request is being read; None while uvicorn's own cycle reads one."""
        cycle: object = self.cycle
        if isinstance(cycle, _Exchange):
            return cycle
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel work for a caller that has hung up, where the endpoint demands it."""
        super().connection_lost(exc)
        if self._exchange is not None:
            self._exchange.hang_up()


class _Exchange:
    """One request and its reply; ``DirectConnection`` and uvicorn read the attributes without an underscore."""

    __slots__ = (
        "_application", "_connection", "_endpoint", "_parts", "_scope", "_size", "_task",
        "disconnected", "keep_alive", "response_complete",
    )  # fmt: skip

    message_event: ClassVar[asyncio.Event] = asyncio.Event()
    """Set by uvicorn when the connection ends; nothing waits for it."""

    def __init__(self, connection: DirectConnection, application: Application, endpoint: Endpoint) -> None:
        self._connection = connection
        self._application = application
        self._endpoint = endpoint
        self._scope = cast("MutableMapping[str, Any]", connection.scope)
        self._parts: list[bytes] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self.disconnected = False
        self.keep_alive = connection.parser.should_keep_alive()
        self.response_complete = False

    def add(self, part: bytes) -> None:
        """Add a part of the body; a body without a declared length may turn out to be too large."""
        if self.response_complete:
            return
        self._size += len(part)
        self._parts.append(part)
        if self._size > self._application.most_bytes:
            self.keep_alive = False
            self._parts.clear()
            self._write(self._application.too_large())

    def start(self) -> None:
        """Handle the request in a task of its own."""
        if self.response_complete:
            return
        connection = self._connection
        task = connection.loop.create_task(self._answer())
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)
        self._task = task

    def hang_up(self) -> None:
        """The caller has left: its reply has no reader."""
        self.disconnected = not self.response_complete
        if self.disconnected and self._task is not None and self._endpoint.while_wanted:
            self._task.cancel()

    async def _answer(self) -> None:
        try:
            if self._endpoint.while_wanted:
                for _ in range(_ROUNDS_UNTIL_HANG_UP):
                    await asyncio.sleep(0)
            reply = await self._application.server.handle(call_of(self._scope, self._body()))
            if self._connection.flow.write_paused and not self.disconnected:
                await self._connection.flow.drain()
            self._write(reply)
        except asyncio.CancelledError:
            if not self.disconnected:
                raise
        finally:
            if not self.response_complete:
                self._connection.transport.close()

    def _body(self) -> bytes:
        parts = self._parts
        if len(parts) == 1:
            return parts.pop()
        body = b"".join(parts)
        parts.clear()
        return body

    def _write(self, reply: Reply) -> None:
        """Send a reply, unless the caller has left; the last one of a connection to a server that drains."""
        if self.disconnected:
            return
        if self._application.server.sessions.is_draining:
            self.keep_alive = False
        try:
            head = _head(reply, keep_alive=self.keep_alive)
        except ValueError:
            log.exception("%s: this reply cannot be sent:", self._application.server.name)
            reply = json_reply({"detail": "the reply cannot be sent; see the log of the server"}, 500)
            head = _head(reply, keep_alive=self.keep_alive)
        connection = self._connection
        connection.transport.writelines((head, reply.body))
        self.response_complete = True
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()


def _head(reply: Reply, *, keep_alive: bool) -> bytes:
    """The status line and the header fields of a reply.

    Raises:
        ValueError: a field has a character that would end it or begin another one.
    """
    fields = reply_headers(reply)
    if _CONTROL.search(b"".join([value for _, value in fields])):
        raise ValueError("a header of the reply has a control character")
    lines = [b"%b: %b\r\n" % pair for pair in fields]
    if not keep_alive:
        lines.append(b"connection: close\r\n")
    return b"%b%b\r\n" % (_status_line(reply.status), b"".join(lines))


@lru_cache
def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()
