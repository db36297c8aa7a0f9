"""What a caller gets from a connection that answers directly is what uvicorn's own connection sends, byte for byte."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gymctl.server import Call, Reply, Server, Session, endpoint
from gymctl.server.asgi import Application
from gymctl.server.calls.client import Client, LocalTransport
from gymctl.server.run.bounded_connection import BoundedConnection
from gymctl.server.run.direct_connection import DirectConnection
from gymctl.server.run.serve import uvicorn_options
from gymctl.server.settings import settings_from_mapping


class Echo(Server):
    kind = "resources_servers"
    default_body_mb = 0.001

    def routes(self, app: FastAPI) -> None:
        @app.get("/own")
        async def own() -> dict[str, int]:
            return {"own": 1}

    @endpoint("/echo")
    async def echo(self, call: Call, session: Session) -> Reply:
        await asyncio.sleep(0)
        return Reply(200, call.body)

    @endpoint("/wanted", while_wanted=True)
    async def wanted(self, call: Call, session: Session) -> Reply:
        return Reply(201, b"[]", headers={"server-timing": "a;dur=1"})

    @endpoint("/wrong")
    async def wrong(self, call: Call, session: Session) -> Reply:
        raise ValueError("no")


ROUNDS = 200  # of the event loop: more than any of these requests needs


class Wire(asyncio.Transport):
    """A connection's transport; what is written to it is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 9)}.get(name, default)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def application() -> Application:
    config = {"echo": {"resources_servers": {"echo": {"entrypoint": "app.py", "host": "127.0.0.1", "port": 80}}}}
    return Application(Echo(settings_from_mapping(config, "echo"), Client(LocalTransport({}))))


def exchanged(kind: type[HttpToolsProtocol], parts: Sequence[bytes]) -> tuple[bytes, bool]:
    """What a connection of a kind answers to parts of requests, without what is random, and whether it closed."""

    async def work() -> tuple[bytes, bool]:
        options = {**uvicorn_options(), "loop": "none", "lifespan": "off"}
        config = uvicorn.Config(application(), **options)
        config.load()
        wire = Wire()
        state = ServerState()
        connection = kind(config=config, server_state=state, app_state={}, _loop=asyncio.get_running_loop())
        connection.connection_made(wire)
        for part in parts:
            if not wire.closed:
                connection.data_received(part)
            for _ in range(ROUNDS):
                await asyncio.sleep(0)
        has_closed = wire.closed
        connection.connection_lost(None)
        while state.tasks:
            await asyncio.sleep(0)
        return bytes(wire.sent), has_closed

    sent, closed = asyncio.run(work())
    return re.sub(rb"(Echo___echo=|x-gym-uptime: )[^;\r]*", rb"\1", sent), closed


def request(line: str, body: bytes = b"", *more: str) -> bytes:
    head = "\r\n".join([line, "host: localhost", f"content-length: {len(body)}", *more])
    return head.encode() + b"\r\n\r\n" + body


JSON = "content-type: application/json"
REQUESTS = [
    request("POST /echo HTTP/1.1", b"{}", JSON),
    request("POST /echo HTTP/1.1", b'{"a": "' + b"x" * 700 + b'"}', JSON, "cookie: Echo___echo=lost"),
    request("POST /echo?a=b HTTP/1.1", b"[1]", JSON, "connection: close"),
    request("POST /wanted HTTP/1.1", b"{}", JSON, "x-gym-timeout-ms: 5"),
    request("POST /ng-rollout/7-0/echo HTTP/1.1", b"{}", JSON),
    request("POST /wrong HTTP/1.1", b"{}", JSON),
    request("GET / HTTP/1.1"),
    request("HEAD / HTTP/1.1"),
    request("GET /own HTTP/1.1"),
    request("GET /nothing HTTP/1.1"),
    request("POST /%65cho HTTP/1.1", b"{}", JSON),
    request("POST http://localhost/echo HTTP/1.1", b"{}", JSON),
    request("POST /echo HTTP/1.0", b"{}", JSON),
    request("POST /echo HTTP/1.1", b"{}", JSON, "expect: 100-continue"),
    request("POST /echo HTTP/1.1", b"a=b", "content-type: text/plain"),
    request("POST /echo HTTP/1.1", b"x" * 2000, JSON),
    request("POST /echo HTTP/1.1", b"{}", JSON, "origin: http://elsewhere"),
    request("GET / HTTP/1.1", b"", "upgrade: h2c", "connection: upgrade"),
    f"POST /echo HTTP/1.1\r\nhost: x\r\n{JSON}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    + b"3\r\n[1,\r\n2\r\n2]\r\n0\r\nx-trailer: 1\r\n\r\n",
    f"POST /echo HTTP/1.1\r\nhost: x\r\n{JSON}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    + b"800\r\n" + b"x" * 2048 + b"\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nhost: x\r\n bad\r\n\r\n",
    b"\x16\x03\x01 hello",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=5), st.lists(st.integers(0, 3000), max_size=6))
@example(REQUESTS[:3], [])
@example(REQUESTS[:2] * 2, [10, 100, 200])
def test_replies_are_those_of_uvicorns_connection(requests: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(requests)
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    parts = [stream[start:end] for start, end in pairwise(ends)]
    assert exchanged(DirectConnection, parts) == exchanged(BoundedConnection, parts)


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_each_request_byte_by_byte(number: int) -> None:
    parts = [REQUESTS[number][index : index + 1] for index in range(min(len(REQUESTS[number]), 400))]
    assert exchanged(DirectConnection, parts) == exchanged(BoundedConnection, parts)


@pytest.mark.parametrize("kind", [DirectConnection, BoundedConnection])
def test_a_server_that_drains_closes_connections_with_its_replies(
    kind: type[HttpToolsProtocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    draining = application()
    draining.server.sessions.is_draining = True
    monkeypatch.setitem(globals(), "application", lambda: draining)
    sent, closed = exchanged(kind, [REQUESTS[0]])
    assert sent.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in sent
    assert closed


def test_known_endpoints_are_answered_without_asgi(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object) -> None:
        raise AssertionError("by ASGI")

    monkeypatch.setattr(Application, "_answer", refused)
    sent, closed = exchanged(DirectConnection, [REQUESTS[0], REQUESTS[0], REQUESTS[6]])
    assert sent.count(b"HTTP/1.1 200 OK") == 3
    assert not closed


class Careless(Echo):
    @endpoint("/echo")
    async def echo(self, call: Call, session: Session) -> Reply:
        return Reply(200, b"{}", headers={"x-odd": "a\r\nset-cookie: b=c"})


def test_a_header_that_would_begin_another_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "Echo", Careless)
    sent, _ = exchanged(DirectConnection, [REQUESTS[0]])
    assert sent.startswith(b"HTTP/1.1 500 ")
    assert b"set-cookie: b=c" not in sent
