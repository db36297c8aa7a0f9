"""A server with tokens: who is let in, what callers send, and tokens that are replaced while both run."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from gymctl.config.blocks.hop_tokens import TOKEN_HEADER, TOKENS_VARIABLE, HopTokens
from gymctl.errors import InputError
from gymctl.server import Call, Client, LocalTransport, Reply, Server, Session, endpoint
from gymctl.server.asgi import Application
from gymctl.server.calls.http import HttpTransport
from gymctl.server.hop_tokens import LOOK_EVERY_S, TokenFile
from gymctl.server.run.direct_connection import DirectConnection
from gymctl.server.run.serve import uvicorn_options
from gymctl.server.settings import settings_from_environment, settings_from_mapping

OLD = "o" * 32
NEW = "n" * 32
ENTRY = {"mine": {"resources_servers": {"echo": {"entrypoint": "app.py", "host": "127.0.0.1", "port": 8000}}}}


class Echo(Server):
    kind = "resources_servers"

    def routes(self, app: FastAPI) -> None:
        @app.get("/own")
        async def own() -> int:
            return 1

    @endpoint("/echo")
    async def echo(self, call: Call, session: Session) -> Reply:
        return Reply(200, call.body)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, *accepts: str, **calls: tuple[str, ...]) -> Path:
    """Change a file in place, as a container sees it."""
    with path.open("r+" if path.exists() else "w") as file:
        file.write(HopTokens(accepts, calls).text)
        file.truncate()
    return path


@asynccontextmanager
async def serving(tokens: TokenFile | None, **observe: Any) -> AsyncIterator[int]:
    """The port of a running server."""
    settings = replace(settings_from_mapping({**ENTRY, **observe}, "mine"), tokens=tokens)
    server = Echo(settings, Client(LocalTransport({})))
    options = {**uvicorn_options(), "http": DirectConnection, "loop": "asyncio", "lifespan": "off"}
    runner = uvicorn.Server(uvicorn.Config(Application(server), **options))
    with socket.create_server(("127.0.0.1", 0)) as opened:
        task = asyncio.create_task(runner.serve(sockets=[opened]))
        try:
            yield opened.getsockname()[1]
        finally:
            runner.should_exit = True
            await task


async def status_of(port: int, method: str, path: str, *headers: str) -> tuple[int, str]:
    """Status and body of one request, written by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = "" if method == "GET" else "{}"
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "connection: close", f"content-length: {len(body)}"]
    writer.write("\r\n".join([*lines, *headers, "", body]).encode())
    reply = (await reader.read()).decode()
    writer.close()
    return int(reply.split()[1]), reply.partition("\r\n\r\n")[2]


CLOSED = [
    ("POST", "/echo"), ("GET", "/own"), ("GET", "/nothing"), ("GET", "/docs"), ("GET", "/openapi.json"), ("POST", "/"),
    ("GET", "//"), ("GET", "/?x=1/../echo#"), ("POST", "/metrics"), ("GET", "/ng-rollout/1-0/"), ("POST", "/health"),
]  # fmt: skip
WRONG = ["", "x", OLD[:-1], f"{OLD}o", OLD.upper(), f"Bearer {OLD}", "\xff"]


def test_every_route_but_the_open_ones_needs_the_token(tmp_path: Path) -> None:
    tokens = TokenFile(write(tmp_path / "tokens", OLD))

    async def scenario() -> None:
        async with serving(tokens) as port:
            for method, path in CLOSED:
                expected = 200 if path.startswith("/?") else 401
                status, body = await status_of(port, method, path)
                assert status == expected, (method, path)
                assert status == 200 or ("mine: the header x-gymctl-token is missing" in body and OLD not in body)
            for value in WRONG:
                assert (await status_of(port, "POST", "/echo", f"{TOKEN_HEADER}: {value}"))[0] == 401, value
            assert (await status_of(port, "GET", "/"))[0] == 200
            for path in ("/health", "/readyz", "/metrics"):  # this server has none of them
                assert (await status_of(port, "GET", path))[0] == 404
            json = "content-type: application/json"
            assert await status_of(port, "POST", "/echo", json, f"{TOKEN_HEADER.title()}: {OLD}") == (200, "{}")
            assert await status_of(port, "GET", "/own", f"{TOKEN_HEADER}: {OLD}") == (200, "1")

    asyncio.run(scenario())


def test_metrics_have_their_own_token(tmp_path: Path) -> None:
    tokens = TokenFile(write(tmp_path / "tokens", OLD))

    async def scenario() -> None:
        async with serving(tokens, observe={"token": "t" * 16}) as port:
            assert (await status_of(port, "GET", "/metrics", f"{TOKEN_HEADER}: {OLD}"))[0] == 401
            assert (await status_of(port, "GET", "/metrics", f"authorization: Bearer {'t' * 16}"))[0] == 200

    asyncio.run(scenario())


def test_a_caller_sends_the_token_of_the_server_that_it_calls(tmp_path: Path) -> None:
    accepts = TokenFile(write(tmp_path / "server", OLD))
    calls = TokenFile(write(tmp_path / "caller", "c" * 32, mine=(OLD, NEW), other=(NEW,)))

    async def scenario() -> None:
        async with serving(accepts) as port:
            url = f"http://127.0.0.1:{port}"
            client = Client(HttpTransport({"mine": url, "other": url, "unknown": url}, tokens=calls))
            for name, status in (("mine", 200), ("other", 401), ("unknown", 401)):
                assert (await client.post(name, "/echo", b"{}")).status == status, name
            await client.close()

    asyncio.run(scenario())


def test_tokens_are_replaced_while_calls_are_made(tmp_path: Path) -> None:
    """The three steps of a change, and a caller that reads its file only when the old token is refused."""
    server_clock = Clock()
    server_file = write(tmp_path / "server", OLD)
    caller_file = write(tmp_path / "caller", mine=(OLD,))
    accepts = TokenFile(server_file, server_clock)
    calls = TokenFile(caller_file, Clock())  # its clock stands still: it does not look by itself

    async def scenario() -> None:
        async with serving(accepts) as port:
            client = Client(HttpTransport({"mine": f"http://127.0.0.1:{port}"}, tokens=calls))
            write(server_file, OLD, NEW)
            server_clock.now += LOOK_EVERY_S
            assert (await client.post("mine", "/echo", b"{}")).status == 200
            write(caller_file, mine=(NEW,))
            assert (await client.post("mine", "/echo", b"{}")).status == 200
            write(server_file, NEW)
            server_clock.now += LOOK_EVERY_S
            assert (await client.post("mine", "/echo", b"{}")).status == 200
            old = HopTokens(calls={"mine": (OLD,)})
            caller_file.write_text(old.text)
            calls.refresh()
            assert (await client.post("mine", "/echo", b"{}")).status == 401
            await client.close()

    asyncio.run(scenario())


def test_a_file_is_looked_at_once_a_second(tmp_path: Path) -> None:
    clock = Clock()
    path = write(tmp_path / "tokens", OLD)
    tokens = TokenFile(path, clock)
    write(path, NEW)
    clock.now += 0.9
    assert (tokens.accepts(OLD.encode()), tokens.accepts(NEW.encode())) == (True, False)
    clock.now += 0.1
    assert (tokens.accepts(OLD.encode()), tokens.accepts(NEW.encode())) == (False, True)


@pytest.mark.parametrize("damage", ["half", "gone"])
def test_a_file_that_cannot_be_read_for_a_moment_changes_nothing(tmp_path: Path, damage: str) -> None:
    clock = Clock()
    path = write(tmp_path / "tokens", OLD)
    tokens = TokenFile(path, clock)
    if damage == "half":
        path.write_text(HopTokens((NEW,)).text[:-5])
    else:
        path.unlink()
    clock.now += 1
    assert tokens.accepts(OLD.encode())
    path.write_text(HopTokens((NEW,)).text)
    clock.now += 1
    assert tokens.accepts(NEW.encode())
    assert not tokens.accepts(OLD.encode())


def test_a_server_whose_tokens_are_missing_does_not_start(tmp_path: Path) -> None:
    environ = {"NEMO_GYM_CONFIG_DICT": str(ENTRY), "NEMO_GYM_CONFIG_PATH": "mine"}
    assert settings_from_environment(environ).tokens is None
    with pytest.raises(InputError, match=r"tokens in .* cannot be read"):
        settings_from_environment({**environ, TOKENS_VARIABLE: str(tmp_path / "tokens")})
