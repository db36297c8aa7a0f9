"""The way to a server that moves: calls that are under way at its old address end there."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gymctl.server.calls.http import HttpTransport
from gymctl.server.calls.remote import Ways
from gymctl.server.message import Call

pytestmark = pytest.mark.enable_socket


class Place:
    """An address at which a server answers each call after ``seconds``; counts its connections."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.open, self.url = seconds, 0, ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(self.seconds)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def place(seconds: float) -> AsyncIterator[Place]:
    made = Place(seconds)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()


async def closed(*places: Place) -> bool:
    for _ in range(100):
        if not any(item.open for item in places):
            return True
        await asyncio.sleep(0.01)
    return False


def get() -> Call:
    return Call("/", method="GET")


def test_a_call_in_flight_survives_that_its_server_moves() -> None:
    async def work() -> None:
        ways = Ways()
        async with place(0.4) as old, place(0.0) as new:
            slow = asyncio.create_task(ways.send("policy", old.url, get()))
            await asyncio.sleep(0.1)
            assert (await ways.send("policy", new.url, get())).status == 200
            assert (await slow).status == 200
            assert await closed(old)  # nobody needs it any more
            await ways.close()
            assert await closed(new)

    asyncio.run(work())


def test_callers_at_the_same_moment_leave_no_connection_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at_once = HttpTransport.close

    async def close_slowly(transport: HttpTransport) -> None:
        await asyncio.sleep(0.01)
        await at_once(transport)

    monkeypatch.setattr(HttpTransport, "close", close_slowly)

    async def work() -> None:
        ways = Ways()
        async with place(0.0) as old, place(0.05) as new:
            await ways.send("policy", old.url, get())
            replies = await asyncio.gather(*(ways.send("policy", new.url, get()) for _ in range(4)))
            assert [reply.status for reply in replies] == [200] * 4
            await ways.close()
            assert await closed(old, new)
            gc.collect()

    asyncio.run(work())
    assert "Unclosed" not in caplog.text
