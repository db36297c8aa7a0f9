"""A server that is told to go finishes what it took, and callers can tell what it did not take."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from free_ports import free_port
from uvicorn.server import ServerState

from gymctl.errors import InputError
from gymctl.server.asgi import Receive, Scope, Send
from gymctl.server.calls.client import Client
from gymctl.server.calls.http import HttpTransport
from gymctl.server.run.graceful_shutdown import DrainingConnection, in_line
from gymctl.server.settings import seconds

pytestmark = [pytest.mark.enable_socket, pytest.mark.processes]

REPOSITORY = Path(__file__).resolve().parents[2]
SERVER = """
import asyncio
import time
from gymctl.server import ResourcesServer, tool

class Slow(ResourcesServer):
    stateless = True

    @tool
    async def wait(self, seconds: float) -> dict[str, float]:
        await asyncio.sleep(seconds)
        return {"waited": seconds}

    @tool
    async def block(self, seconds: float) -> dict[str, float]:
        time.sleep(seconds)
        return {"blocked": seconds}

if __name__ == "__main__":
    Slow.serve()
"""
REQUEST = b"POST /wait HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"


def start(folder: Path, port: int, notice: float) -> subprocess.Popen[bytes]:
    (folder / "app.py").write_text(SERVER)
    config = f"env: {{resources_servers: {{slow: {{host: 127.0.0.1, port: {port}}}}}}}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "GYMCTL_NOTICE_S": str(notice)}
    environment |= {"NEMO_GYM_CONFIG_DICT": config, "NEMO_GYM_CONFIG_PATH": "env"}
    return subprocess.Popen([sys.executable, "app.py"], cwd=folder, env=environment, stderr=subprocess.DEVNULL)


@contextmanager
def server(folder: Path, notice: float = 0.0) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    process = start(folder, port, notice)
    try:
        connect(port).close()
        yield process, port
    finally:
        process.kill()
        process.wait()


def connect(port: int) -> socket.socket:
    """A connection, as soon as somebody listens."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def ask(connection: socket.socket, seconds: float) -> bytes:
    """One request; the whole answer, headers and body."""
    body = b'{"seconds": %f}' % seconds
    connection.sendall(REQUEST % (len(body), body))
    return answer(connection)


def answer(connection: socket.socket) -> bytes:
    """All that comes until the body's end, or until the connection's."""
    received = b""
    while part := connection.recv(65536):
        received += part
        if received.endswith(b"}"):
            break
    return received


def test_an_idle_connection_is_told_that_nothing_more_is_taken(tmp_path: Path) -> None:
    with server(tmp_path) as (process, port), connect(port) as idle:
        assert b"waited" in ask(idle, 0)
        process.terminate()
        reply = idle.recv(65536)
        assert reply.startswith(b"HTTP/1.1 503") and b"x-gym-not-taken: 1" in reply
        idle.sendall(REQUEST % (2, b"{}"))  # it crossed the answer on its way: read by nobody, answered by nobody
        assert answer(idle) == b""
        idle.close()
        assert process.wait(timeout=5) == -signal.SIGTERM


def test_what_was_begun_is_finished_and_new_calls_are_taken_during_the_notice(tmp_path: Path) -> None:
    with server(tmp_path, notice=1) as (process, port), connect(port) as busy, connect(port) as idle:
        ask(idle, 0)
        body = b'{"seconds": 2.5}'
        busy.sendall(REQUEST % (len(body), body))
        time.sleep(0.3)
        process.terminate()
        time.sleep(0.3)
        with connect(port) as late:
            assert b"waited" in ask(late, 0)
        assert b"waited" in ask(idle, 0)
        assert b"x-gym-not-taken: 1" in answer(idle)
        assert b'{"waited":2.5}' in answer(busy)
        assert process.wait(timeout=5) == -signal.SIGTERM
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_callers_in_line_are_taken_however_long_a_busy_server_needs_for_them(tmp_path: Path) -> None:
    """Each round of its loop takes one of them and 30 ms: the line is far longer than what is waited for handshakes."""
    body = b'{"seconds": 0.03}'
    request = (REQUEST % (len(body), body)).replace(b"/wait", b"/block")
    with server(tmp_path) as (process, port):
        callers = [connect(port) for _ in range(60)]
        for caller in callers:
            caller.sendall(request)
        process.terminate()
        answers = [answer(caller) for caller in callers]
        for caller in callers:
            caller.close()
        assert process.wait(timeout=10) == -signal.SIGTERM
    assert all(b'{"blocked":0.03}' in text or b"x-gym-not-taken: 1" in text for text in answers)
    assert any(b'{"blocked":0.03}' in text for text in answers)


def test_the_length_of_a_line_is_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert in_line(listening.fileno()) == 0
        with socket.create_connection(listening.getsockname()), socket.create_connection(listening.getsockname()):
            deadline = time.monotonic() + 5
            while in_line(listening.fileno()) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert in_line(listening.fileno()) == 2
            listening.accept()[0].close()
            assert in_line(listening.fileno()) == 1


@pytest.mark.parametrize("notice", [0.0, 1.0])
def test_no_call_is_lost_however_often_the_server_goes_and_comes_back(tmp_path: Path, notice: float) -> None:
    """Callers without a pause, on pooled connections, while the server is replaced under them."""
    port = free_port()
    processes = [start(tmp_path, port, notice)]
    connect(port).close()
    done: list[int] = []

    async def call_on(client: Client, over: asyncio.Event) -> None:
        while not over.is_set():
            reply = await client.ask("slow", "/wait", b'{"seconds": 0.001}')
            done.append(reply.status)

    async def replace_it(over: asyncio.Event) -> None:
        for _ in range(2):
            await asyncio.sleep(0.3)
            processes[-1].terminate()
            await asyncio.to_thread(processes[-1].wait, 20)
            processes.append(start(tmp_path, port, notice))
            await asyncio.to_thread(lambda: connect(port).close())
        await asyncio.sleep(0.3)
        over.set()

    async def work() -> None:
        client = Client(HttpTransport({"slow": f"http://127.0.0.1:{port}"}, patience_s=20))
        over = asyncio.Event()
        try:
            await asyncio.gather(replace_it(over), *(call_on(client, over) for _ in range(16)))
        finally:
            over.set()
            await client.close()

    try:
        asyncio.run(work())
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert set(done) == {200} and len(done) > 300


def test_a_time_that_is_none_is_refused() -> None:
    assert seconds({"WAIT": "2.5"}, "WAIT", 1.0) == 2.5
    assert seconds({"WAIT": ""}, "WAIT", 1.0) == 1.0
    for wrong in ("soon", "-1", "nan"):
        with pytest.raises(InputError, match="WAIT"):
            seconds({"WAIT": wrong}, "WAIT", 1.0)


async def _replies(*requests: bytes) -> bytes:
    """What a client gets from a connection that is shut down before its first request comes."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config = uvicorn.Config(application, http=DrainingConnection, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    made = asyncio.Event()

    class Watched(DrainingConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            super().connection_made(transport)
            made.set()

    def connection() -> Watched:
        return Watched(config=config, server_state=state, app_state={})

    listening = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    async with listening:
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        await made.wait()
        next(iter(state.connections)).shutdown()
        for request in requests:
            writer.write(request)
        reply = await reader.read()
        writer.close()
        return reply


def test_the_first_request_of_a_new_connection_is_answered_and_the_connection_closed() -> None:
    reply = asyncio.run(_replies(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"))
    assert reply.startswith(b"HTTP/1.1 200")
    assert reply.endswith(b"ok")


def test_a_new_connection_without_a_request_is_told_that_nothing_more_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gymctl.server.run.graceful_shutdown._FIRST_REQUEST_S", 0.01)
    assert b"x-gym-not-taken: 1" in asyncio.run(_replies())
