"""A TCP relay on loopback that breaks connections off at random, as a bad network does."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading

_HARD = struct.pack("ii", 1, 0)  # linger for 0 s: close() sends RST


class Relay:
    """Carries bytes to ``target`` from a port of its own, in a thread; with ``share`` of chunks it resets instead."""

    def __init__(self, target: int, seed: int) -> None:
        self.share = 0.0
        self.resets = 0
        self._target = target
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._carry, sock=self._socket))
        self._loop.run_forever()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            self._break(writer)
            return
        both = (writer, there[1])
        await asyncio.gather(self._pump(reader, there[1], both), self._pump(there[0], writer, both))

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, both: tuple[asyncio.StreamWriter, ...]
    ) -> None:
        try:
            while chunk := await source.read(1 << 16):
                if self._random.random() < self.share:
                    self.resets += 1
                    break
                sink.write(chunk)
                await sink.drain()
            else:
                sink.close()
                return
        except OSError:
            pass
        for writer in both:
            self._break(writer)

    def _break(self, writer: asyncio.StreamWriter) -> None:
        plug = writer.get_extra_info("socket")
        if plug is not None and plug.fileno() >= 0:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HARD)
        writer.transport.abort()

    def close(self) -> None:
        """Stop relaying."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2)
        self._socket.close()
