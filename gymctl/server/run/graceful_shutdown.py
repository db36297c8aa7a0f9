"""Graceful shutdown: a server finishes the requests it has accepted, and callers know which ones it has not.

A request that meets a connection being closed is lost in a way that its caller cannot know: taken or not? To send it
again might do a thing twice. So a connection that is idle when the server goes is given the answer "not taken" before
it is closed, and whatever comes in on it after that is not read. A caller either finds the connection closed before it
sends, or has sent into the void and finds the answer there. The same goes for connections that stand in line to be
accepted: the line is closed first, then served, and only then does nobody listen.

Where others can take over, the server continues to serve for a while before that: Swarm has taken the process out of
the network's DNS when it sends SIGTERM, and callers that look the name up again find others.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn

from gymctl.server.message import NOT_TAKEN_HEADER
from gymctl.server.run.direct_connection import DirectConnection

# A filter that drops what begins a TCP connection (the SYN bit, in the 14th byte of the header), and takes the rest
_NO_NEW = struct.pack(
    "HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 0x02, 0x06, 0, 0, 0, 0x06, 0, 0, 0xFFFFFFFF
)  # load byte 13; SYN set? then the next, else the one after it; drop; take
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python's socket module does not name it
_ACCEPTING_S = 0.2  # for those whose handshake is under way when the line is closed
_STILL_IN_LINE = struct.Struct("24xI")  # tcpi_unacked of tcp_info: of a listening socket, the length of its line
_FIRST_REQUEST_S = 5.0  # a caller on a busy machine sends its request long after its connection is made
_LINGER_S = 0.5  # a caller that closes its end sooner is not waited for

NOT_TAKEN = (
    f"HTTP/1.1 503 Service Unavailable\r\n{NOT_TAKEN_HEADER}: 1\r\nretry-after: 1\r\nconnection: close\r\n"
    "content-length: 0\r\n\r\n"
).encode()


class DrainingConnection(DirectConnection):
    """A connection that is not cut off in the middle of anything."""

    _is_last_request = False
    """Whether the connection is closed after the reply to the request that comes next."""

    def on_headers_complete(self) -> None:
        """A request has begun."""
        super().on_headers_complete()
        if self._is_last_request and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close after the answer that is due; at once when there is none, saying that nothing more is taken.

        A connection that has just been made has its first request on the way, which is answered.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            return
        if self.cycle is None and not self._is_last_request:
            self._is_last_request = True
            asyncio.get_running_loop().call_later(_FIRST_REQUEST_S, self._end_without_request)
            return
        self._part()

    def _end_without_request(self) -> None:
        """Close the connection if its first request has not come."""
        if self.cycle is None and not self.transport.is_closing():
            self._part()

    def _part(self) -> None:
        """Say that nothing more is taken, and close the connection."""
        self._unset_keepalive_if_required()
        self.transport.set_protocol(_Parting(self, self.transport))
        if not self.transport.is_closing():
            self.transport.write(NOT_TAKEN)
            self.transport.write_eof()


class _Parting(asyncio.Protocol):
    """Reads no more, until the other side has closed too: to close with data unread would take our answer back."""

    def __init__(self, connection: DrainingConnection, transport: asyncio.Transport) -> None:
        self._connection = connection
        self._timer = asyncio.get_running_loop().call_later(_LINGER_S, transport.close)

    def data_received(self, data: bytes) -> None:
        """A request that crossed our answer on its way; it is ignored."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end of the connection on."""
        self._timer.cancel()
        self._connection.connection_lost(exc)


class Runner(uvicorn.Server):
    """A uvicorn server that keeps serving for ``notice_s`` seconds before it stops, and loses no request.

    ``give_up_start`` ends a start that is under way: what a server waits for then may never come.
    """

    def __init__(self, config: uvicorn.Config, notice_s: float, give_up_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._notice_s = notice_s
        self._give_up_start = give_up_start
        self._loop: asyncio.AbstractEventLoop | None = None
        self._until = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the server; a signal during startup stops it without an error."""
        self._loop = asyncio.get_running_loop()
        if self.should_exit:  # the signal came before there was anything to give up
            return
        try:
            await super().startup(sockets)
        except SystemExit:  # how newer versions of uvicorn end a start that failed
            if not self._captured_signals:
                raise

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first SIGTERM gives notice; anything else, or one that comes during the start, stops as uvicorn does."""
        if not self.started:
            super().handle_exit(sig, frame)
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._give_up_start)
        elif sig == signal.SIGTERM and self._notice_s and not self._until and not self.should_exit:
            self._captured_signals.append(sig)
            self._until = time.monotonic() + self._notice_s
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Asked ten times a second whether to stop."""
        if self._until and time.monotonic() >= self._until:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting new connections, serve the queued ones, then stop.

        libuv takes one of them in each round of the loop, and on a busy machine rounds are long.
        """
        lines = [listening.fileno() for server in self.servers for listening in server.sockets]
        for line in lines:
            close_line(line)
        await asyncio.sleep(_ACCEPTING_S)
        while any(map(in_line, lines)) and not self.force_exit:  # noqa: ASYNC110 - the kernel offers no event for it
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # the last accepted one is reported in the next round
        await super().shutdown(sockets)


def in_line(listening: int) -> int:
    """How many connections to a listening socket (by its number) wait to be accepted; 0 where this is not Linux."""
    if not hasattr(socket, "TCP_INFO"):
        return 0
    with socket.socket(fileno=os.dup(listening)) as same:
        info = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _STILL_IN_LINE.size)
    return int(_STILL_IN_LINE.unpack(info)[0])


def close_line(listening: int) -> None:
    """Have the kernel ignore new connections to a listening socket (by its number), not those already in line.

    Callers' kernels try again after a second. Where this is not Linux, nothing happens.
    """
    program = ctypes.create_string_buffer(_NO_NEW)
    with suppress(OSError), socket.socket(fileno=os.dup(listening)) as same:
        same.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 4, ctypes.addressof(program)))
