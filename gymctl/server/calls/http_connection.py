"""One HTTP/1.1 connection to a server: one request and its response at a time.

The parser is llhttp by way of httptools, the one that uvicorn uses on the other side. It understands what servers of
NeMo Gym answer: bodies with a length, in chunks or up to the end of the connection, 1xx before the response, and
``Connection: close``.
"""

from __future__ import annotations

import asyncio
import select
import sys
from dataclasses import dataclass
from typing import cast

import httptools

PIECE = 256 * 1024
"""Bytes of a request's body that are handed to the socket at a time."""

_MOST_IN_HEAD = 1 << 20
"""Bytes that may come before the header of a response is complete."""


class BrokenConnectionError(OSError):
    """The connection ended, or what came in was not HTTP, before the response was complete."""


class NotHttpError(BrokenConnectionError):
    """What came in was not HTTP."""


class LongBodyError(BrokenConnectionError):
    """The body of the response has more bytes than were allowed; ``status`` is the response's."""

    def __init__(self, status: int) -> None:
        super().__init__("the response is too long")
        self.status = status


@dataclass(slots=True)
class Response:
    """A complete response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """Names in lower case, in the order in which they came; repeated ones are repeated."""
    body: bytes


class Connection(asyncio.Protocol):
    """A connection as asyncio hands it over; ``exchange`` may be called whenever ``reusable`` is true.

    Args:
        most_bytes: of the body of a response.
    """

    __slots__ = (
        "_chunks",
        "_done",
        "_end",
        "_ends_with_connection",
        "_head_size",
        "_headers",
        "_is_busy",
        "_keeps_alive",
        "_loop",
        "_most_bytes",
        "_parser",
        "_size",
        "_status",
        "_transport",
        "_waiter",
        "_writable",
    )

    def __init__(self, most_bytes: int = sys.maxsize) -> None:
        self._most_bytes = most_bytes
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._is_busy = False
        self._keeps_alive = True
        self._end = "the connection is closed"
        self._forget()

    def _forget(self) -> None:
        self._done: Response | None = None
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._ends_with_connection = False

    @property
    def is_silent(self) -> bool:
        """Whether no data waits in the socket."""
        return self._transport is None or has_no_data(self._transport)

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: the connection is open and idle, and no unsolicited data has arrived."""
        return self._transport is not None and self._keeps_alive and not self._is_busy

    async def exchange(self, head: bytes, body: bytes) -> Response:
        """Send a request and wait for its response.

        Args:
            head: request line and header fields up to and including the empty line.
            body: the body, of the length that ``head`` declares.

        Raises:
            BrokenConnectionError: the response is missing, incomplete or too long. The connection is closed.
            asyncio.CancelledError: the caller gave up. The connection is closed, since its response may still come.
        """
        transport = self._transport
        if transport is None or not self.reusable:
            raise BrokenConnectionError(self._end)
        self._is_busy = True
        self._forget()
        waiter: asyncio.Future[Response] = self._loop.create_future()
        self._waiter = waiter
        is_complete = False
        try:
            if len(body) <= PIECE:
                transport.write(head + body)
                response = await waiter
            else:
                response = await self._send_in_pieces(transport, head, body, waiter)
            is_complete = True
        finally:
            self._waiter = None
            self._is_busy = False
            if not is_complete:
                self.close()
        return response

    async def _send_in_pieces(
        self, transport: asyncio.Transport, head: bytes, body: bytes, waiter: asyncio.Future[Response]
    ) -> Response:
        """Write as fast as the other side reads; stop early when it answers before it has read everything."""
        transport.write(head)
        view = memoryview(body)
        for start in range(0, len(body), PIECE):
            if self._writable is not None:
                await asyncio.wait((waiter, self._writable), return_when=asyncio.FIRST_COMPLETED)
            if waiter.done():
                self._keeps_alive = False  # the rest of the body is missing: nothing else can follow
                break
            transport.write(view[start : start + PIECE])
        return await waiter

    def close(self) -> None:
        """Close at once; unsent data is dropped."""
        self._keeps_alive = False
        if self._transport is not None:
            self._transport.abort()

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport. TCP has both directions; uvloop's transports do not inherit from asyncio's."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came in; bytes that answer no request end the connection, or a later request would get them."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._end = "the server sent unsolicited data"
            self.close()
            return
        if self._status == 0:
            self._head_size += len(data)
            if self._head_size > _MOST_IN_HEAD:
                self._fail(NotHttpError("the header of the response does not end"))
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keeps_alive = False
            if self._done is None:  # otherwise the response is whole, and what follows it is the other side's mistake
                self._fail(NotHttpError(f"not an HTTP response: {error}"))
                return
        if self._done is not None and not waiter.done():
            waiter.set_result(self._done)

    def eof_received(self) -> bool:
        """The other side sends nothing more; asyncio then closes the connection."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Finish a body that the end of the connection ends; anything else that is under way has failed."""
        self._transport = None
        self.resume_writing()
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self._ends_with_connection and exc is None:
            self._keeps_alive = False
            waiter.set_result(self._response())
            return
        if self._status:
            reason = "the response was cut off"
        else:
            reason = "the connection was closed before a response"
        self._fail(BrokenConnectionError(f"{reason}: {exc}" if exc else reason))

    def pause_writing(self) -> None:
        """The other side reads more slowly than the body is written."""
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """The transport can be written to again, or is closed."""
        writable = self._writable
        self._writable = None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # -- what the parser calls

    def on_message_begin(self) -> None:
        """A response begins; a second one to the same request makes the connection useless."""
        if self._done is not None:
            self._keeps_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field, or a trailer."""
        if self._done is None:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Remember the status, and whether only the end of the connection can end the body."""
        if self._done is not None:
            return
        self._status = self._parser.get_status_code()
        names = [name for name, _ in self._headers]
        self._ends_with_connection = b"content-length" not in names and b"transfer-encoding" not in names

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if self._done is not None:
            return
        self._size += len(body)
        if self._size > self._most_bytes:
            self._chunks.clear()
            self._fail(LongBodyError(self._status))
        else:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        """A response is complete; one with a status of 1xx only announces another."""
        if self._done is not None:
            return
        if 100 <= self._status < 200:
            self._forget()
            return
        self._keeps_alive = self._keeps_alive and self._parser.should_keep_alive()
        self._done = self._response()

    # --

    def _response(self) -> Response:
        chunks = self._chunks
        if len(chunks) == 1:
            body = chunks[0]
        else:
            body = b"".join(chunks)
        return Response(self._status, self._headers, body)

    def _fail(self, error: BrokenConnectionError) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.close()


def has_no_data(transport: asyncio.BaseTransport) -> bool:
    """Whether nothing has come in that the socket of ``transport`` still holds."""
    opened = transport.get_extra_info("socket")
    if opened is None:
        return True
    poll = select.poll()
    poll.register(opened.fileno(), select.POLLIN)
    return not poll.poll(0)
