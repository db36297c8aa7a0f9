"""Our HTTP/1.1 client against servers that answer in every way that a server may, and in some that none should."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gymctl.server.calls.connection_pool import Address, ConnectError, ConnectionPool, ConnectTimeoutError
from gymctl.server.calls.http_connection import PIECE, BrokenConnectionError, LongBodyError, NotHttpError, Response

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def head(body: bytes = b"") -> bytes:
    return b"POST /run HTTP/1.1\r\nhost: test\r\ncontent-length: %d\r\n\r\n" % len(body)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """The body of the next request; raises when the client has gone."""
    fields = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in fields.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length.partition(b":")[2]))


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[Address, list[asyncio.Task[None]]]]:
    """A server that hands each connection to ``answer``; yields its address and the number of connections so far."""
    connections: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        connections.append(task)
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname(), connections
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def answers(*pieces: bytes, close: bool = False) -> Answer:
    """Answers every request of a connection with ``pieces``, each in a packet of its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if close:
                return

    return answer


def ask(answer: Answer, body: bytes = b"", times: int = 1, limit: int = 8) -> tuple[list[Response], int]:
    """Responses to the same request ``times`` in a row, and how many connections that took."""

    async def run() -> tuple[list[Response], int]:
        async with serving(answer) as (address, connections):
            pool = ConnectionPool(limit, keepalive_s=15.0)
            try:
                responses = [await pool.exchange(address, head(body), body, 5.0) for _ in range(times)]
            finally:
                await pool.close()
            return responses, len(connections)

    return asyncio.run(run())


def test_a_connection_is_used_again() -> None:
    responses, connections = ask(answers(OK), times=5)
    assert [(response.status, response.body) for response in responses] == [(200, b"ok")] * 5
    assert connections == 1


def test_header_fields_are_kept_in_order_and_repeated_ones_too() -> None:
    answer = answers(
        b"HTTP/1.1 503 X\r\nSet-Cookie: a=1\r\nSET-COOKIE: b=2\r\nRetry-After: 3\r\ncontent-length: 0\r\n\r\n"
    )
    [response], _ = ask(answer)
    assert response.status == 503
    assert response.headers[:3] == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"retry-after", b"3")]


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"2\r\nab\r\n", b"1\r\nc\r\n0\r\n\r\n"), b"abc"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", OK), b"ok"),
        ((b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + OK,), b"ok"),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), b""),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",), b""),
    ],
)
def test_what_keeps_the_connection(pieces: tuple[bytes, ...], body: bytes) -> None:
    responses, connections = ask(answers(*pieces), times=3)
    assert [response.body for response in responses] == [body] * 3
    assert connections == 1


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ((b"HTTP/1.1 200 OK\r\n\r\n", b"to the", b" end"), b"to the end"),
        ((b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",), b"ok"),
        ((b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",), b"ok"),
    ],
)
def test_what_ends_the_connection(pieces: tuple[bytes, ...], body: bytes) -> None:
    responses, connections = ask(answers(*pieces, close=True), times=3)
    assert [response.body for response in responses] == [body] * 3
    assert connections == 3


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 2",),
        (b"HTTP/1.1 200 OK\r\ncontent-le",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok",),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",),
        (b"HTTP/1.1 100 Continue\r\n\r\n",),
        (b"SSH-2.0-OpenSSH_9.2\r\n",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",),
    ],
)
def test_what_is_no_complete_response_is_an_error(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(BrokenConnectionError):
        ask(answers(*pieces, close=True))


@pytest.mark.parametrize("stray", [OK, b"HTTP/1.1 200", b"garbage"])
def test_bytes_that_answer_nothing_never_answer_the_next_request(stray: bytes) -> None:
    """A second response with the first, in the same packet or after it."""
    for pieces in ((OK + stray,), (OK, stray)):

        async def run(pieces: tuple[bytes, ...] = pieces) -> int:
            async with serving(answers(*pieces)) as (address, connections):
                pool = ConnectionPool(4, keepalive_s=15.0)
                for _ in range(3):
                    assert (await pool.exchange(address, head(), b"", 5.0)).body == b"ok"
                    await asyncio.sleep(0.05)
                await pool.close()
                return len(connections)

        assert asyncio.run(run()) == 3


def test_a_large_body_arrives_whole_and_is_not_written_faster_than_it_is_read() -> None:
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        received.append(await read_request(reader))
        writer.write(OK)

    body = bytes(range(256)) * (PIECE // 256) * 40
    ask(answer, body)
    assert received == [body]


def test_an_answer_before_the_whole_body_was_read_is_the_answer() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)

    [response], _ = ask(answer, bytes(64 * PIECE))
    assert response.status == 413


def test_a_cancelled_call_costs_its_connection_and_nothing_else() -> None:
    async def run() -> int:
        slow = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                body = await read_request(reader)
                if body == b"slow":
                    await slow.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

        async with serving(answer) as (address, connections):
            pool = ConnectionPool(1, keepalive_s=15.0)
            call = asyncio.create_task(pool.exchange(address, head(b"slow"), b"slow", 5.0))
            waiting = asyncio.create_task(pool.exchange(address, head(b"next"), b"next", 5.0))
            given_up = asyncio.create_task(pool.exchange(address, head(b"none"), b"none", 5.0))
            await asyncio.sleep(0.05)
            given_up.cancel()
            call.cancel()
            assert (await waiting).body == b"next"
            slow.set()
            assert (await pool.exchange(address, head(b"last"), b"last", 5.0)).body == b"last"
            await pool.close()
            return len(connections)

    assert asyncio.run(run()) == 2


def test_no_more_connections_than_the_limit() -> None:
    async def run() -> int:
        counts: list[int] = []
        count = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            counts.append(count)
            try:
                await answers(OK)(reader, writer)
            finally:
                count -= 1

        async with serving(answer) as (first, _), serving(answer) as (second, _):
            pool = ConnectionPool(3, keepalive_s=15.0)
            for address in (first, second, first):
                calls = (pool.exchange(address, head(), b"", 5.0) for _ in range(30))
                responses = await asyncio.gather(*calls)
                assert {response.body for response in responses} == {b"ok"}
                await asyncio.sleep(0.05)
            await pool.close()
        return max(counts)

    assert asyncio.run(run()) <= 3


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    with pytest.raises(ConnectError) as caught:
        asyncio.run(ConnectionPool(1, 15.0).exchange(address, head(), b"", 5.0))
    assert caught.value.errno is not None


def test_somebody_listens_but_takes_no_connection() -> None:
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # as many as the kernel keeps in line, and more
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        with pytest.raises(ConnectTimeoutError):
            asyncio.run(ConnectionPool(1, 15.0).exchange(full.getsockname(), head(), b"", 0.2))


def test_an_unused_connection_is_closed_in_time() -> None:
    async def run() -> None:
        closed = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await answers(OK)(reader, writer)
            finally:
                closed.set()

        async with serving(answer) as (address, _):
            pool = ConnectionPool(1, keepalive_s=0.05)
            await pool.exchange(address, head(), b"", 5.0)
            await asyncio.wait_for(closed.wait(), 5.0)
            await pool.close()

    asyncio.run(run())


async def endless(writer: asyncio.StreamWriter, piece: bytes) -> None:
    while True:
        writer.write(piece)
        await writer.drain()


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nx-long: ", b""])
def test_a_header_without_an_end_is_left(start: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(start)
        await endless(writer, b"a" * 5000 if start.endswith(b" ") else b"x-more: 1\r\n" * 500)

    with pytest.raises(NotHttpError):
        ask(answer)


@pytest.mark.parametrize("fields", [b"content-length: 1000000000\r\n", b"transfer-encoding: chunked\r\n", b""])
def test_a_body_with_more_bytes_than_are_allowed_is_left(fields: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 201 Created\r\n" + fields + b"\r\n")
        await endless(writer, b"3e8\r\n" + b"a" * 1000 + b"\r\n")

    async def run() -> int:
        async with serving(answer) as (address, _):
            pool = ConnectionPool(1, 15.0, most_bytes=50_000)
            with pytest.raises(LongBodyError) as caught:
                await pool.exchange(address, head(), b"", 5.0)
            await pool.close()
            return caught.value.status

    assert asyncio.run(run()) == 201


bodies = st.binary(max_size=200)
chunked = st.lists(st.binary(min_size=1, max_size=60), max_size=6)


def as_chunks(parts: list[bytes]) -> bytes:
    text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return text + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def as_response(part: bytes | list[bytes]) -> bytes:
    if isinstance(part, list):
        return as_chunks(part)
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(part), part)


@settings(max_examples=40, deadline=None)
@given(
    responses=st.lists(st.one_of(bodies, chunked), min_size=1, max_size=4),
    interim=st.integers(0, 2),
    cuts=st.lists(st.integers(0, 600), max_size=12),
)
def test_a_response_is_the_same_however_it_is_cut(
    responses: list[bytes | list[bytes]], interim: int, cuts: list[int]
) -> None:
    """Any sequence of responses over one connection, with announcements before them, in any pieces."""
    expected = [part if isinstance(part, bytes) else b"".join(part) for part in responses]
    texts = [b"HTTP/1.1 100 Continue\r\n\r\n" * interim + as_response(part) for part in responses]

    async def run() -> tuple[list[bytes], int]:
        queue = list(texts)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await read_request(reader)
                text = queue.pop(0)
                edges = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
                for start, end in pairwise(edges):
                    writer.write(text[start:end])
                    await writer.drain()
                    await asyncio.sleep(0)

        async with serving(answer) as (address, connections):
            pool = ConnectionPool(1, keepalive_s=15.0)
            got = [(await pool.exchange(address, head(), b"", 5.0)).body for _ in responses]
            await pool.close()
            return got, len(connections)

    assert asyncio.run(run()) == (expected, 1)


@settings(max_examples=60, deadline=None)
@given(part=st.one_of(bodies, chunked), cut=st.integers(0, 400))
def test_a_response_that_breaks_off_is_never_a_whole_one(part: bytes | list[bytes], cut: int) -> None:
    whole = as_response(part)
    with pytest.raises(BrokenConnectionError):
        ask(answers(whole[: min(cut, len(whole) - 1)], close=True))
