"""A server that echoes request bodies and misbehaves in every way that HTTP allows, and in some that it does not.

``python -m benchmarks.hop_peer SEED`` prints the port it listens on and serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable

import uvloop

_SLOWEST_S = 0.02


class Peer(asyncio.Protocol):
    """One connection: reads requests with a ``content-length``, answers each with its own body."""

    def __init__(self, choice: random.Random) -> None:
        self._choice = choice
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Answer the request when it is complete; the client sends the next one after the answer."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        fields = bytes(self._received[:end]).lower()
        length = int(fields.rpartition(b"content-length:")[2].split(b"\r\n")[0])
        if len(self._received) < end + 4 + length:
            return
        body = bytes(self._received[end + 4 : end + 4 + length])
        del self._received[: end + 4 + length]
        self._answering = asyncio.ensure_future(self._answer(body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop answering."""
        self._transport = None
        if self._answering is not None:
            self._answering.cancel()

    async def _answer(self, body: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        manner = self._choice.choices(_MANNERS, _WEIGHTS)[0]
        pieces, ends = manner(body, self._choice)
        for piece in pieces:
            if piece is None:
                await asyncio.sleep(self._choice.random() * _SLOWEST_S)
            elif not transport.is_closing():
                transport.write(piece)
        if ends == "close":
            transport.close()
        elif ends == "reset":
            transport.abort()


Pieces = tuple[list[bytes | None], str]
"""What is written (None: a pause), and how it ends: ``keep``, ``close`` or ``reset``."""


def _plain(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _chunked(body: bytes, choice: random.Random) -> bytes:
    cut = choice.randint(1, len(body) - 1)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:cut], body[cut:]))
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def _at_once(body: bytes, choice: random.Random) -> Pieces:
    return [_plain(body)], "keep"


def _in_chunks(body: bytes, choice: random.Random) -> Pieces:
    return [_chunked(body, choice)], "keep"


def _late(body: bytes, choice: random.Random) -> Pieces:
    return [None, _plain(body)], "keep"


def _split(body: bytes, choice: random.Random) -> Pieces:
    text = choice.choice([_plain(body), _chunked(body, choice)])
    cut = choice.randint(1, len(text) - 1)
    return [text[:cut], None, text[cut:]], "keep"


def _announced(body: bytes, choice: random.Random) -> Pieces:
    return [b"HTTP/1.1 100 Continue\r\n\r\n", _plain(body)], "keep"


def _closing(body: bytes, choice: random.Random) -> Pieces:
    return [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + body], "close"


def _closing_in_silence(body: bytes, choice: random.Random) -> Pieces:
    """The connection is kept by the response, and closed anyway."""
    return [_plain(body)], "close"


def _reset_before(body: bytes, choice: random.Random) -> Pieces:
    return [], "reset"


def _reset_within(body: bytes, choice: random.Random) -> Pieces:
    text = _plain(body)
    return [text[: choice.randint(1, len(text) - 1)], None], "reset"


def _truncated(body: bytes, choice: random.Random) -> Pieces:
    text = choice.choice([_plain(body), _chunked(body, choice)])
    return [text[: choice.randint(1, len(text) - 1)]], "close"


def _twice(body: bytes, choice: random.Random) -> Pieces:
    """An unsolicited second response."""
    return [_plain(body) + _plain(b"a response to another request")], "keep"


def _garbage(body: bytes, choice: random.Random) -> Pieces:
    return [choice.randbytes(40)], "close"


_COMMON: dict[Callable[[bytes, random.Random], Pieces], float] = {
    _at_once: 70,
    _in_chunks: 8,
    _late: 4,
    _split: 6,
    _announced: 3,
    _closing: 2,
    _closing_in_silence: 1,
    _reset_before: 1,
    _reset_within: 1,
    _truncated: 1,
    _twice: 1,
    _garbage: 1,
}
_MANNERS = list(_COMMON)
_WEIGHTS = list(_COMMON.values())


async def _serve(seed: int) -> None:
    choice = random.Random(seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(choice), "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
