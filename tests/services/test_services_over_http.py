"""The same servers behind real sockets: rollouts over HTTP equal those within one process."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import orjson
import pytest
import uvicorn
from service_stack import SCRIPTED, environment, example_rows, open_stack, post

from gymctl.server import Client, HttpTransport, Server
from gymctl.server.asgi import Application
from gymctl.server.run.serve import uvicorn_options

pytestmark = pytest.mark.enable_socket

ENV = "example_session_state_mgmt"
AGENT = f"{ENV}_simple_agent"


async def listen(server: Server) -> tuple[uvicorn.Server, asyncio.Task[None], str]:
    """Serve on a free loopback port."""
    options = {**uvicorn_options(), "loop": "none", "lifespan": "off"}
    runner = uvicorn.Server(uvicorn.Config(Application(server), **options))
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(runner.serve([listener]))
    while not runner.started:
        await asyncio.sleep(0.005)
    return runner, task, f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_rollouts_over_http_equal_those_in_one_process() -> None:
    rows = example_rows(ENV)

    async def local() -> list[dict[str, Any]]:
        async with open_stack(environment(ENV), SCRIPTED) as servers:
            return [(await post(servers[AGENT], "/run", row)).json() for row in rows]

    async def remote() -> list[dict[str, Any]]:
        async with open_stack(environment(ENV), SCRIPTED) as servers:
            running = {name: await listen(server) for name, server in servers.items()}
            client = Client(HttpTransport({name: url for name, (_, _, url) in running.items()}))
            for server in servers.values():
                server.client = client
            try:
                calls = (client.ask(AGENT, "/run", orjson.dumps(row)) for row in rows)
                return [reply.json() for reply in await asyncio.gather(*calls)]
            finally:
                await client.close()
                for runner, task, _ in running.values():
                    runner.should_exit = True
                    await task

    assert asyncio.run(remote()) == asyncio.run(local())
