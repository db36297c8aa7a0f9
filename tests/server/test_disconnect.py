"""Work whose caller hangs up is dropped, and not begun when the caller had left before."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop

from gymctl.server import AgentServer, Call, Client, LocalTransport, Reply, Server, Session, endpoint
from gymctl.server.asgi import Application
from gymctl.server.run.direct_connection import DirectConnection
from gymctl.server.run.serve import uvicorn_options
from gymctl.server.settings import settings_from_mapping

pytestmark = pytest.mark.enable_socket
LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


class Slow(Server):
    """Notes what becomes of its calls; they end when ``let_go`` is set."""

    kind = "resources_servers"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.noted: list[str] = []
        self.let_go = asyncio.Event()

    @endpoint("/costly", while_wanted=True)
    async def costly(self, call: Call, session: Session) -> Reply:
        return await self._work()

    @endpoint("/plain")
    async def plain(self, call: Call, session: Session) -> Reply:
        return await self._work()

    async def _work(self) -> Reply:
        self.noted.append("begun")
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.noted.append("dropped")
            raise
        self.noted.append("ended")
        return Reply(200, b'{"done":true}')


@asynccontextmanager
async def serving(cls: type[Slow] = Slow) -> AsyncIterator[tuple[Slow, int]]:
    config = {"slow": {"resources_servers": {"slow": {"entrypoint": "app.py", "host": "127.0.0.1", "port": 8000}}}}
    server = cls(settings_from_mapping(config, "slow"), Client(LocalTransport({})))
    runner = uvicorn.Server(
        uvicorn.Config(
            Application(server), **{**uvicorn_options(), "http": DirectConnection, "loop": "none", "lifespan": "off"}
        )
    )
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(runner.serve([listener]))
    try:
        await until(lambda: runner.started)
        yield server, listener.getsockname()[1]
    finally:
        server.let_go.set()
        runner.should_exit = True
        await task


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not happened():
            await asyncio.sleep(0.005)


def request(path: str) -> bytes:
    headers = "host: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 2"
    return f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n{{}}".encode()


@LOOPS
@pytest.mark.parametrize(("path", "noted"), [("/costly", "dropped"), ("/plain", "ended")])
def test_a_caller_hangs_up(run: Callable[[Awaitable[None]], None], path: str, noted: str) -> None:
    async def scene() -> None:
        async with serving() as (server, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(path))
            await until(lambda: server.noted == ["begun"])
            writer.close()
            await asyncio.sleep(0.05)
            server.let_go.set()
            await until(lambda: len(server.noted) == 2)
            assert server.noted == ["begun", noted]
            assert server._in_flight == 0

    run(scene())


@LOOPS
def test_a_caller_that_has_left_already(run: Callable[[Awaitable[None]], None]) -> None:
    async def scene() -> None:
        async with serving() as (server, port):
            for _ in range(5):  # while the loop does not turn: as at a server that was frozen
                with socket.create_connection(("127.0.0.1", port)) as caller:
                    caller.sendall(request("/costly"))
            await asyncio.sleep(0.1)
            assert server.noted == []

    run(scene())


@LOOPS
def test_a_caller_that_waits_is_answered_and_may_ask_again(run: Callable[[Awaitable[None]], None]) -> None:
    async def scene() -> None:
        async with serving() as (server, port):
            server.let_go.set()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(3):
                writer.write(request("/costly"))
                assert b"200" in await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(13) == b'{"done":true}'
            writer.close()
            assert server.noted == ["begun", "ended"] * 3

    run(scene())


def test_what_a_subclass_puts_in_its_place_is_dropped_too() -> None:
    class Own(Slow):
        @endpoint("/costly")
        async def costly(self, call: Call, session: Session) -> Reply:
            return await super().costly(call, session)

    async def scene() -> None:
        async with serving(Own) as (server, _):
            assert server.endpoints["POST", "/costly"].while_wanted
            assert not server.endpoints["POST", "/plain"].while_wanted

    asyncio.run(scene())


def test_a_rollout_is_such_work() -> None:
    assert getattr(AgentServer.run, "__gym_endpoint__")[3]  # noqa: B009
