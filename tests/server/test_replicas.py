"""Several replicas of one name, each a real server on a loopback address of its own: who gets which call."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
import uvicorn

from gymctl.server import (
    Call,
    Client,
    HopFailed,
    HttpTransport,
    LocalTransport,
    ModelServer,
    Reply,
    ResourcesServer,
    SeedRequest,
    Server,
    Session,
    VerifyRequest,
    VerifyResponse,
    endpoint,
    tool,
)
from gymctl.server.asgi import Application
from gymctl.server.calls.replicas import resolve, stands_for_replicas
from gymctl.server.run.serve import uvicorn_options
from gymctl.server.settings import settings_from_mapping

pytestmark = [pytest.mark.enable_socket, pytest.mark.processes]

NAME = "counter"
ROW = {"responses_create_params": {"input": ""}}
VERDICT = {**ROW, "response": {"output": []}}


class Counting(ResourcesServer):
    """Keeps a number for each session, and says which replica it is."""

    place = ""

    async def seed_session(self, body: SeedRequest, session: Session) -> None:
        """Begin."""
        session.state["count"] = 0

    @tool
    async def add(self, session: Session) -> dict[str, Any]:
        """One more."""
        session.state["count"] += 1
        return {"place": self.place}

    async def verify(self, body: VerifyRequest, session: Session) -> VerifyResponse:
        """The number."""
        return VerifyResponse.of(body, session.state["count"], place=self.place)


class Echo(ModelServer):
    """Says which replica it is."""

    place = ""
    stateless: ClassVar[bool] = True

    async def responses(self, params: dict[str, Any], session: Session) -> dict[str, Any]:
        """Who answered."""
        return {"place": self.place}

    @endpoint("/wait")
    async def wait(self, call: Call, session: Session) -> Reply:
        """Take a while."""
        await asyncio.sleep(0.3)
        return Reply(200, json.dumps({"place": self.place}).encode())


class Names:
    """What DNS would say."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses, self.asked = addresses, 0

    async def resolve(self, host: str) -> list[str]:
        """The addresses as they are now."""
        self.asked += 1
        return list(self.addresses)


class Replicated:
    """Replicas of one class at 127.0.0.2 and on, and a client that knows their name."""

    def __init__(self, cls: type[Any], port: int) -> None:
        self._cls, self._port = cls, port
        self._running: dict[str, tuple[uvicorn.Server, asyncio.Task[None]]] = {}
        self.names = Names([])
        self.client = Client(HttpTransport({NAME: f"http://{NAME}:{port}"}, resolve=self.names.resolve))

    async def add(self, address: str) -> None:
        """Start one more."""
        fields = {NAME: {self._cls.kind: {"it": {"host": address, "port": self._port, "entrypoint": "app.py"}}}}
        server = self._cls(settings_from_mapping(fields, NAME), Client(LocalTransport({})))
        server.place = address
        self._running[address] = await _listen(server, address, self._port)
        self.names.addresses.append(address)

    async def stop(self, address: str, *, forget: bool = False) -> None:
        """End one at once; with ``forget`` its name is gone too."""
        runner, task = self._running.pop(address)
        runner.should_exit = runner.force_exit = True
        for connection in list(runner.server_state.connections):
            connection.transport.abort()
        await task
        if forget:
            self.names.addresses.remove(address)

    async def close(self) -> None:
        """End all."""
        await self.client.close()
        for address in list(self._running):
            await self.stop(address)


async def _listen(server: Server, address: str, port: int) -> tuple[uvicorn.Server, asyncio.Task[None]]:
    runner = uvicorn.Server(
        uvicorn.Config(Application(server), **{**uvicorn_options(), "loop": "none", "lifespan": "off"})
    )
    task = asyncio.create_task(runner.serve([socket.create_server((address, port))]))
    while not runner.started:
        await asyncio.sleep(0.005)
    return runner, task


@asynccontextmanager
async def replicated(cls: type[Any], count: int) -> AsyncIterator[Replicated]:
    """``count`` replicas and their client."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stack = Replicated(cls, port)
    try:
        for number in range(count):
            await stack.add(f"127.0.0.{number + 2}")
        yield stack
    finally:
        await stack.close()


async def seed(client: Client) -> dict[str, str]:
    """A new session's cookies."""
    return (await client.ask(NAME, "/seed_session", json.dumps(ROW).encode())).cookies


async def add(client: Client, cookies: dict[str, str]) -> str:
    """Count; the replica that did."""
    place: str = (await client.ask(NAME, "/add", b"{}", cookies=cookies)).json()["place"]
    return place


async def verified(client: Client, cookies: dict[str, str]) -> float:
    """What was counted."""
    reward: float = (await client.ask(NAME, "/verify", json.dumps(VERDICT).encode(), cookies=cookies)).json()["reward"]
    return reward


def test_a_session_stays_at_the_replica_that_began_it_and_all_get_their_share() -> None:
    async def work() -> None:
        async with replicated(Counting, 4) as stack:
            sessions = await asyncio.gather(*(seed(stack.client) for _ in range(40)))
            places: Counter[str] = Counter()
            for cookies in sessions:
                first, second = await add(stack.client, cookies), await add(stack.client, cookies)
                assert first == second
                places[first] += 1
                assert await verified(stack.client, cookies) == 2.0
            assert len(places) == 4
            assert min(places.values()) >= 8  # one that is answered early frees its replica for the next

    asyncio.run(work())


def test_a_caller_that_did_not_begin_a_session_finds_it() -> None:
    async def work() -> None:
        async with replicated(Counting, 4) as stack:
            sessions = await asyncio.gather(*(seed(stack.client) for _ in range(8)))
            other = Client(HttpTransport({NAME: f"http://{NAME}:{stack._port}"}, resolve=stack.names.resolve))
            try:
                for cookies in sessions:
                    assert await add(other, cookies) == await add(stack.client, cookies)
            finally:
                await other.close()

    asyncio.run(work())


@pytest.mark.parametrize("forget", [False, True], ids=["its name stays", "its name is gone"])
def test_a_replica_that_dies_takes_its_own_sessions_only(forget: bool) -> None:
    async def work() -> None:
        async with replicated(Counting, 3) as stack:
            sessions = await asyncio.gather(*(seed(stack.client) for _ in range(9)))
            places = [await add(stack.client, cookies) for cookies in sessions]
            await stack.stop("127.0.0.3", forget=forget)
            for place, cookies in zip(places, sessions, strict=True):
                if place != "127.0.0.3":
                    assert await verified(stack.client, cookies) == 1.0
                    continue
                with pytest.raises(HopFailed, match=r"counter that held this session \(127.0.0.3\) is gone") as failure:
                    await verified(stack.client, cookies)
                assert failure.value.cause["kind"] == "session_lost"
            for cookies in [await seed(stack.client) for _ in range(6)]:  # new ones go elsewhere at once
                assert await add(stack.client, cookies) in ("127.0.0.2", "127.0.0.4")

    asyncio.run(work())


def test_a_replica_that_came_back_has_lost_its_sessions_and_takes_new_ones() -> None:
    async def work() -> None:
        async with replicated(Counting, 2) as stack:
            sessions = [await seed(stack.client) for _ in range(2)]
            await stack.stop("127.0.0.2", forget=True)
            await stack.add("127.0.0.2")
            lost = [
                reply
                for cookies in sessions
                if (reply := await stack.client.post(NAME, "/add", b"{}", cookies=cookies)).status != 200
            ]
            assert [reply.status for reply in lost] == [503]
            assert lost[0].json()["cause"]["kind"] == "session_lost"

    asyncio.run(work())


def test_calls_without_a_session_are_spread_by_request() -> None:
    async def work() -> None:
        async with replicated(Echo, 4) as stack:
            replies = [await stack.client.ask(NAME, "/v1/responses", b"{}") for _ in range(8)]
            again = [await stack.client.ask(NAME, "/v1/responses", b"{}", cookies=replies[0].cookies) for _ in range(8)]
            for answers in (replies, again):
                assert sorted(Counter(reply.json()["place"] for reply in answers).values()) == [2, 2, 2, 2]

    asyncio.run(work())


def test_a_replica_that_is_busy_gets_fewer_calls() -> None:
    async def work() -> None:
        async with replicated(Echo, 2) as stack:
            slow = asyncio.create_task(stack.client.ask(NAME, "/wait", b"{}"))
            await asyncio.sleep(0.05)
            quick = {(await stack.client.ask(NAME, "/v1/responses", b"{}")).json()["place"] for _ in range(6)}
            assert len(quick) == 1
            assert (await slow).json()["place"] not in quick

    asyncio.run(work())


def test_a_stateless_replica_that_dies_costs_nothing() -> None:
    async def work() -> None:
        async with replicated(Echo, 2) as stack:
            await stack.client.ask(NAME, "/v1/responses", b"{}")
            calls = [asyncio.create_task(stack.client.ask(NAME, "/wait", b"{}")) for _ in range(6)]
            await asyncio.sleep(0.1)
            await stack.stop("127.0.0.2")
            assert {reply.json()["place"] for reply in await asyncio.gather(*calls)} == {"127.0.0.3"}

    asyncio.run(work())


def test_a_replica_that_is_added_gets_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gymctl.server.calls.replicas.REFRESH_S", 0.05)

    async def work() -> None:
        async with replicated(Echo, 1) as stack:
            await stack.client.ask(NAME, "/v1/responses", b"{}")
            await stack.add("127.0.0.3")
            await asyncio.sleep(0.06)
            await stack.client.ask(NAME, "/v1/responses", b"{}")  # has it looked for, beside the call
            await asyncio.sleep(0.05)
            places = [(await stack.client.ask(NAME, "/v1/responses", b"{}")).json()["place"] for _ in range(4)]
            assert sorted(Counter(places).values()) == [2, 2]

    asyncio.run(work())


def test_a_name_without_an_address_is_told_as_such() -> None:
    async def work() -> None:
        async with replicated(Echo, 0) as stack:
            with pytest.raises(HopFailed, match="no replica is running") as failure:
                await stack.client.ask(NAME, "/v1/responses", b"{}", deadline=time.monotonic() + 0.3)
            assert failure.value.kind == "connect"

    asyncio.run(work())


def test_a_session_that_names_another_address_than_was_dialled_is_left_alone() -> None:
    """A proxy, or a published port, stands between: where the session lives is not this caller's business."""

    async def work() -> None:
        async with replicated(Counting, 1) as stack:
            cookies = await seed(stack.client)
            name = next(iter(cookies))
            replicas = stack.client._transport._replicas[NAME]  # type: ignore[attr-defined]
            replicas.began("127.0.0.9", cookies)
            assert replicas.place({name: cookies[name]}) is None

    asyncio.run(work())


@pytest.mark.parametrize(
    ("host", "expected"),
    [("agent", True), ("my.host", True), ("localhost", False), ("127.0.0.1", False), ("::1", False), ("[::1]", False)],
)
def test_a_name_stands_for_replicas_and_an_address_for_itself(host: str, expected: bool) -> None:
    assert stands_for_replicas(host) is expected


def test_a_name_has_the_addresses_that_the_resolver_knows() -> None:
    assert asyncio.run(resolve("localhost")) == ["127.0.0.1"]
