"""What a resources server's own tests need: the server without a network, and episodes whose cookies are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from gymctl.config.vocabulary import LOOPBACK
from gymctl.server.base import Server
from gymctl.server.calls.client import Client, LocalTransport
from gymctl.server.message import Call, Reply
from gymctl.server.run.loader import load_server_class
from gymctl.server.settings import Settings


class Episode:
    """One rollout's calls of a server, one after the other; the session's cookie is sent as an agent sends it."""

    def __init__(self, server: Server, runner: asyncio.Runner) -> None:
        self.server = server
        self._runner = runner
        self._cookies: dict[str, str] = {}

    def post(self, path: str, body: Any) -> Reply:
        """The reply to a POST of ``body`` as JSON, whatever its status."""
        reply = self._runner.run(self.server.handle(Call(path, orjson.dumps(body), cookies=self._cookies)))
        self._cookies = reply.cookies or self._cookies
        return reply

    def seed(self, row: Mapping[str, Any]) -> Reply:
        """Begin the episode with a row."""
        return self.post("/seed_session", row)

    def tool(self, name: str, **arguments: Any) -> Any:
        """What a tool answers, as JSON; the text of a refusal too."""
        return self.post(f"/{name}", arguments).json()

    def verify(self, row: Mapping[str, Any], output: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """The verdict on a row whose response holds the items ``output``.

        Raises:
            AssertionError: the server refuses the row.
        """
        whole = {"responses_create_params": {"input": ""}, **row, "response": {"output": output or []}}
        reply = self.post("/verify", whole)
        if reply.status != 200:
            raise AssertionError(f"/verify answered {reply.status}: {reply.body.decode(errors='replace')}")
        verdict: dict[str, Any] = reply.json()
        return verdict


@contextmanager
def episode(folder: Path, *, entrypoint: str = "app.py", **fields: Any) -> Iterator[Episode]:
    """The server of ``folder`` (``<kind>/<implementation>``), started with ``fields``, and an episode with it.

    Raises:
        InputError: its code cannot be imported, or ``fields`` do not fit it.
    """
    folder = folder.resolve()
    settings = Settings(folder.name, folder.parent.name, folder.name, LOOPBACK, 1, fields)
    server = load_server_class(folder, entrypoint)(settings, Client(LocalTransport({})))
    with asyncio.Runner() as runner:
        runner.run(server.startup())
        try:
            yield Episode(server, runner)
        finally:
            runner.run(server.shutdown())


def example_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a server's ``data/example.jsonl``."""
    return [orjson.loads(line) for line in (folder / "data" / "example.jsonl").read_bytes().splitlines()]
