"""What a model endpoint says unasked is nobody's answer; when it says not to come back before, nobody does."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from email.utils import format_datetime

import aiohttp
import pytest

from gymctl.server.calls.client import parse_retry_after
from gymctl.server.calls.connection_pool import RestingPool
from gymctl.server.models import connector
from gymctl.server.models.connector import QuietConnector

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n"


@pytest.fixture(autouse=True)
def short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "REST_S", 0.01)


Get = Callable[[str, int], Awaitable[bytes]]
"""Requests ``/`` of a host and port, and returns the body of the response."""


Client = Callable[[], AbstractAsyncContextManager[Get]]


@asynccontextmanager
async def over_aiohttp() -> AsyncIterator[Get]:
    async with aiohttp.ClientSession(connector=QuietConnector()) as session:

        async def get(host: str, port: int) -> bytes:
            async with session.get(f"http://{host}:{port}/") as reply:
                return await reply.read()

        yield get


@asynccontextmanager
async def over_our_own_connections() -> AsyncIterator[Get]:
    pool = RestingPool(100, 15.0, rest_s=0.01)

    async def get(host: str, port: int) -> bytes:
        return (await pool.exchange((host, port), b"GET / HTTP/1.1\r\nhost: here\r\n\r\n", b"", 5.0)).body

    yield get
    await pool.close()


CLIENTS = pytest.mark.parametrize("client", [over_aiohttp, over_our_own_connections])


async def _answers(client: Client, stray_after_s: float, stray: bytes, rounds: int) -> tuple[list[bytes], int]:
    """What a client reads from an endpoint that sends more than it was asked for, and over how many connections."""
    connections = 0

    async def endpoint(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(ANSWER + b"y")
                await writer.drain()
                await asyncio.sleep(stray_after_s)
                writer.write(stray)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(endpoint, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    read = []
    async with client() as get:
        for _ in range(rounds):
            with suppress(aiohttp.ClientError, OSError):  # bytes that come with the answer may spoil it: a failure
                read.append(await get("127.0.0.1", port))
            await asyncio.sleep(0.012)
    server.close()
    return read, connections


@pytest.mark.processes
@CLIENTS
@pytest.mark.parametrize("stray", [ANSWER + b"N", b"HTTP/1.1 2", b"\r\n\r\n", b"x", (ANSWER + b"N") * 3])
@pytest.mark.parametrize("after_s", [0.0, 0.003])
def test_a_connection_with_bytes_nobody_asked_for_is_not_used_again(
    client: Client, stray: bytes, after_s: float
) -> None:
    read, _ = asyncio.run(_answers(client, after_s, stray, 8))
    assert set(read) <= {b"y"}
    assert after_s == 0.0 or len(read) == 8


@pytest.mark.processes
@CLIENTS
def test_a_quiet_connection_is_used_again(client: Client) -> None:
    read, connections = asyncio.run(_answers(client, 0.0, b"", 8))
    assert read == [b"y"] * 8
    assert connections == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("", None),
        (None, None),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Fri, 99 Dec 1999 23:59:59 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


@pytest.mark.parametrize("zone", [datetime.UTC, datetime.timezone(datetime.timedelta(hours=5))])
def test_retry_after_as_a_date_is_not_before_it(zone: datetime.timezone) -> None:
    until = datetime.datetime.now(zone).replace(microsecond=0) + datetime.timedelta(seconds=30)
    usegmt = zone is datetime.UTC
    seconds = parse_retry_after(format_datetime(until, usegmt=usegmt))
    assert seconds is not None
    assert 0 <= seconds - (until - datetime.datetime.now(zone)).total_seconds() < 1
