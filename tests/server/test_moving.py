"""A stack that comes back elsewhere is found there, and its old ports are nobody's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from gymctl.server.calls import moving
from gymctl.server.calls.client import Client, HopFailed
from gymctl.server.calls.moving import MovingTransport
from gymctl.server.message import Call, Reply


class Place:
    """Where a stack was at some time."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self.urls, self.closed = urls, False

    async def send(self, server: str, call: Call) -> Reply:
        assert not self.closed
        return Reply(200, self.urls[server].encode())

    async def close(self) -> None:
        self.closed = True


def test_calls_go_where_the_servers_are_and_nowhere_while_they_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "_LOOK_EVERY_S", 0.0)
    now: list[Mapping[str, str] | None] = [{"agent": "http://h:1"}]
    places: list[Place] = []

    def connect(urls: Mapping[str, str]) -> Place:
        places.append(Place(urls))
        return places[-1]

    async def work() -> None:
        client = Client(MovingTransport(lambda: now[0], connect))
        for _ in range(2):
            assert (await client.post("agent", "/run", b"")).body == b"http://h:1"
        now[0] = None
        with pytest.raises(HopFailed, match="gymctl up"):
            await client.post("agent", "/run", b"")
        assert places[0].closed
        now[0] = {"agent": "http://h:2"}
        assert (await client.post("agent", "/run", b"")).body == b"http://h:2"
        assert len(places) == 2
        await client.close()

    asyncio.run(work())
    assert places[1].closed
