"""A user's own server is a few lines: what those lines get for nothing."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, TypeVar

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from gymctl.errors import InputError
from gymctl.server import (
    Call,
    Client,
    HopFailed,
    LocalTransport,
    ModelServer,
    Reply,
    ResourcesServer,
    SeedRequest,
    Server,
    ServerConfig,
    Session,
    VerifyRequest,
    VerifyResponse,
    endpoint,
    tool,
)
from gymctl.server.asgi import Application
from gymctl.server.settings import Settings, settings_from_environment, settings_from_mapping

ServerType = TypeVar("ServerType", bound=Server)


class Weather(ResourcesServer):
    """Weather."""

    @tool
    async def get_weather(self, city: str, days: int = 1) -> dict[str, Any]:
        """The weather."""
        return {"city": city, "days": days}

    @tool
    def slow_sum(self, numbers: list[int]) -> int:
        """Runs in a thread."""
        return sum(numbers)

    async def verify(self, body: VerifyRequest) -> VerifyResponse:
        """Always right."""
        return VerifyResponse.of(body, 1.0, why="because")


class NeedyConfig(ServerConfig):
    """Needs a key."""

    key: str


class Needy(ResourcesServer):
    """Cannot start without it."""

    config: NeedyConfig


class Body(BaseModel):
    """One number."""

    a: int


class Whole(ResourcesServer):
    """Takes the body whole."""

    @tool
    async def take(self, body: Body) -> Body:
        """Give it back."""
        return body


class Counter(ResourcesServer):
    """Counts."""

    class Seed(SeedRequest):
        initial_count: int

    async def seed_session(self, body: Seed, session: Session) -> None:
        """Start at the row's count."""
        session.state["count"] = body.initial_count

    @tool
    async def increment(self, by: int, session: Session) -> dict[str, int]:
        """Add."""
        session.state["count"] += by
        return {"count": session.state["count"]}


def settings(name: str = "mine", **fields: Any) -> Settings:
    return Settings(name, "resources_servers", "mine", "127.0.0.1", 1, fields)


def make(cls: type[ServerType], **fields: Any) -> ServerType:
    servers: dict[str, Server] = {}
    server = cls(settings(**fields), Client(LocalTransport(servers)))
    servers["mine"] = server
    return server


def call(server: Server, path: str, body: Any = None, **more: Any) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
    return asyncio.run(server.handle(Call(path, raw, **more)))


def test_a_tool_takes_its_arguments_from_the_body() -> None:
    assert call(make(Weather), "/get_weather", {"city": "Oslo"}).json() == {"city": "Oslo", "days": 1}
    assert call(make(Weather), "/slow_sum", {"numbers": [1, 2]}).json() == 3


@pytest.mark.parametrize("body", [{"days": 1}, {"city": 5}, b"{", b"[]"])
def test_wrong_arguments_are_422_in_fastapis_shape(body: Any) -> None:
    reply = call(make(Weather), "/get_weather", body)
    assert reply.status == 422
    assert reply.json()["detail"][0]["loc"][0] == "body"


def test_verify_echoes_the_request_and_adds_its_verdict() -> None:
    row = {"responses_create_params": {"input": "x"}, "response": {"output": []}, "id": 7}
    assert call(make(Weather), "/verify", row).json() == {**row, "reward": 1.0, "why": "because"}


def test_verify_overrides_a_key_that_the_row_had_already() -> None:
    row = {"responses_create_params": {}, "response": {}, "reward": 0.25, "why": "no"}
    body = call(make(Weather), "/verify", row).body
    assert body.count(b'"reward"') == 1
    assert json.loads(body)["reward"] == 1.0


def test_an_unknown_path_is_404_and_a_fault_is_500_with_its_text() -> None:
    class Broken(ResourcesServer):
        @tool
        async def fail(self) -> None:
            raise RuntimeError("boom")

    assert call(make(Broken), "/nothing").json() == {"detail": "Not Found"}
    reply = call(make(Broken), "/fail")
    assert reply.status == 500
    assert reply.json() == {"detail": "RuntimeError: boom"}


def test_a_session_lives_by_its_cookie_and_the_cookie_is_sent_on_every_reply() -> None:
    counter = make(Counter)
    first = call(counter, "/seed_session", {"initial_count": 3})
    assert list(first.cookies) == ["Counter___mine"]
    second = call(counter, "/increment", {"by": 2}, cookies=first.cookies)
    assert second.cookies == first.cookies
    assert call(counter, "/increment", {"by": 1}, cookies=second.cookies).json() == {"count": 6}
    assert call(counter, "/seed_session", {}).status == 422


def test_a_server_at_its_limit_says_so_at_once() -> None:
    class Slow(ResourcesServer):
        @tool
        async def wait(self) -> str:
            await asyncio.sleep(0.05)
            return "done"

    async def both() -> tuple[Reply, Reply]:
        server = make(Slow, max_in_flight=1)
        return await asyncio.gather(server.handle(Call("/wait")), server.handle(Call("/wait")))

    first, second = asyncio.run(both())
    assert (first.status, second.status) == (200, 503)
    assert second.headers["retry-after"]


def test_fastapi_routes_of_the_users_own_work_and_stand_in_the_schema() -> None:
    class Mine(ResourcesServer):
        def routes(self, app: FastAPI) -> None:
            @app.get("/extra")
            async def extra() -> dict[str, str]:
                return {"extra": "yes"}

    server = make(Mine)
    assert call(server, "/extra", method="GET").json() == {"extra": "yes"}
    paths = server.application.openapi()["paths"]
    assert {"/extra", "/verify", "/seed_session", "/aggregate_metrics", "/"} <= set(paths)
    schema = make(Weather).application.openapi()
    assert "city" in json.dumps(schema["components"]["schemas"])


def test_a_config_that_does_not_fit_names_the_server_and_the_field() -> None:
    with pytest.raises(InputError, match=r"mine .*key: Field required"):
        make(Needy)


def test_a_failing_hop_is_named_by_the_innermost_cause() -> None:
    class Provider(Server):
        @endpoint("/v1/responses")
        async def answer(self, call: Call, session: Session) -> Reply:
            return Reply(401, b'{"error":"bad key"}')

    class Proxy(Server):
        @endpoint("/v1/responses")
        async def answer(self, call: Call, session: Session) -> Reply:
            return await self.client.ask("provider", "/v1/responses", call.body)

    class Top(Server):
        @endpoint("/run")
        async def run(self, call: Call, session: Session) -> Reply:
            return await self.client.ask("proxy", "/v1/responses", call.body)

    servers: dict[str, Server] = {}
    client = Client(LocalTransport(servers))
    for name, cls in (("provider", Provider), ("proxy", Proxy), ("top", Top)):
        servers[name] = cls(settings(name), client)
    reply = asyncio.run(client.post("top", "/run", b"{}"))
    cause = reply.json()["cause"]
    assert reply.status == 502
    assert (cause["hop"], cause["status"], cause["kind"]) == ("provider", 401, "status")
    assert "bad key" in cause["body"]


def test_a_deadline_ends_a_call_within_the_process() -> None:
    class Slow(Server):
        @endpoint("/wait")
        async def wait(self, call: Call, session: Session) -> Reply:
            await asyncio.sleep(5)
            return Reply()

    async def ask() -> None:
        client = make(Slow).client
        await client.post("mine", "/wait", b"", deadline=time.monotonic() + 0.05)

    with pytest.raises(HopFailed) as caught:
        asyncio.run(ask())
    assert caught.value.kind == "timeout"


def test_the_asgi_face_gives_the_same_answer_and_reads_cookies_and_chunks() -> None:
    async def ask() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        chunks = [
            {"type": "http.request", "body": b'{"by"', "more_body": True},
            {"type": "http.request", "body": b": 2}", "more_body": False},
        ]
        server = make(Counter)
        session = await server.handle(Call("/seed_session", b'{"initial_count": 1}'))
        cookie = "; ".join(f"{name}={value}" for name, value in session.cookies.items())
        headers = [(b"cookie", cookie.encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/increment", "headers": headers}

        async def receive() -> dict[str, Any]:
            return chunks.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await Application(server)(scope, receive, send)
        return sent

    start, body = asyncio.run(ask())
    assert start["status"] == 200
    assert json.loads(body["body"]) == {"count": 3}
    assert any(name == b"set-cookie" and b"Counter___mine=" in value for name, value in start["headers"])


def test_a_model_server_refuses_what_it_does_not_offer() -> None:
    class Echo(ModelServer):
        async def responses(self, params: dict[str, Any], session: Session) -> dict[str, Any]:
            return {"echo": params}

    server = make(Echo)
    assert call(server, "/v1/responses", {"input": "x"}).json() == {"echo": {"input": "x"}}
    assert call(server, "/v1/chat/completions", {}).status == 501
    assert call(server, "/v1/responses", b"nonsense").status == 422


SLICE = """
policy: {responses_api_models: {m: {entrypoint: app.py, host: policy, port: 8000}}}
mine:
  resources_servers:
    mine: {entrypoint: app.py, host: 0.0.0.0, port: 8080, key: "${oc.env:GYM_TEST_KEY}", other: '\\${x}'}
head_server: {host: head, port: 11000}
"""


def test_settings_come_from_the_two_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_TEST_KEY", "s3cret")
    read = settings_from_environment({"NEMO_GYM_CONFIG_DICT": SLICE, "NEMO_GYM_CONFIG_PATH": "mine"})
    assert read.fields["key"] == "s3cret"
    assert read.peers == {"policy": "http://policy:8000", "mine": "http://127.0.0.1:8080"}
    assert (read.host, read.port, read.kind) == ("0.0.0.0", 8080, "resources_servers")


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "NEMO_GYM_CONFIG_DICT is not set"),
        ({"NEMO_GYM_CONFIG_DICT": "a: 1"}, "NEMO_GYM_CONFIG_PATH is not set"),
        ({"NEMO_GYM_CONFIG_DICT": "a: 1", "NEMO_GYM_CONFIG_PATH": "b"}, "'b', which is not a server"),
    ],
)
def test_a_server_started_wrongly_says_what_is_missing(environ: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        settings_from_environment(environ)


def test_a_body_model_may_be_the_whole_body() -> None:
    assert call(make(Whole), "/take", {"a": 1}).json() == {"a": 1}


def test_settings_of_the_head_are_the_whole() -> None:
    whole = {"head_server": {"host": "0.0.0.0", "port": 11000}, "x": 1}
    assert settings_from_mapping(whole, "head_server").whole == whole
