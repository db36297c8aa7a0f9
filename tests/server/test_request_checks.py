"""Requests that a server does not take: of pages in a browser, by a foreign name, not JSON, too large."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from hypothesis import given, settings
from hypothesis import strategies as st

from gymctl.server import Call, Client, LocalTransport, Reply, Server, Session, endpoint
from gymctl.server.asgi import Application
from gymctl.server.run.direct_connection import DirectConnection
from gymctl.server.run.serve import uvicorn_options
from gymctl.server.settings import settings_from_mapping

JSON = (b"content-type", b"application/json")


class Echo(Server):
    """Answers with the length of what it got."""

    kind = "resources_servers"
    default_body_mb = 1.0

    @endpoint("/echo")
    async def echo(self, call: Call, session: Session) -> Reply:
        return Reply(200, b"%d" % len(call.body))


class WithRoutes(Echo):
    """The same beside a route of its own."""

    def routes(self, app: FastAPI) -> None:
        @app.post("/upload")
        async def upload(request: Request) -> int:
            return len(await request.body())


def application(
    cls: type[Server] = Echo, host: str = "127.0.0.1", clients: list[str] | None = None, **more: Any
) -> Application:
    config = {
        "mine": {"resources_servers": {"echo": {"entrypoint": "app.py", "host": host, "port": 8000, **more}}},
        "policy": {"responses_api_models": {"m": {"entrypoint": "app.py", "host": "models.example", "port": 8000}}},
        "allowed_hosts": ["Gym.example.com"],
        **({"gymctl_exposed_to": clients} if clients else {}),
    }
    return Application(cls(settings_from_mapping(config, "mine"), Client(LocalTransport({}))))


def ask(
    app: Application, *headers: tuple[bytes, bytes], path: str = "/echo", method: str = "POST",
    parts: tuple[bytes, ...] = (b"{}",), client: str = "127.0.0.1",
) -> tuple[int, bytes, int]:  # fmt: skip
    """Status, body, and how many parts of the request's body were read."""
    inbox = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": list(headers), "http_version": "1.1", "scheme": "http", "server": ("10.9.9.9", 8000),
        "client": (client, 50000),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], sent[1]["body"], len(parts) - len(inbox)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "127.0.0.1", "localhost:1", "LOCALHOST", "localhost.", "[::1]:8000", "[::1]", "10.0.0.7:8000",
     "app.localhost", "mine:8000", "policy", "models.example:8000", "gym.example.com", "host.docker.internal:80"],
)  # fmt: skip
def test_known_hosts(host: str) -> None:
    assert ask(application(), (b"host", host.encode()), JSON)[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:8000", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "example.com", "evil",
     "[::1]evil.example", "[evil.example]", "127.0.0.1@evil.example", "", " ", ":80", "gym.example.com.evil",
     "tasks.evil", "\u00e9.example", "evil.example\x00"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_foreign_hosts(host: str, method: str) -> None:
    status, body, read = ask(application(), (b"host", host.encode()), JSON, method=method)
    assert (status, read) == (421, 0)
    assert b"allowed_hosts" in body


def test_names_of_a_container_engine_where_others_can_reach_the_server() -> None:
    for host, status in (
        ("stack-mine-1", 200),
        ("tasks.mine", 200),
        ("evil.example", 421),
        ("tasks.evil.example", 421),
    ):
        assert ask(application(host="0.0.0.0"), (b"host", host.encode()), JSON)[0] == status, host
    own = f"{socket.gethostname()}.lab.example".encode()
    assert ask(application(host="0.0.0.0"), (b"host", own), JSON)[0] == 200


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b"http://127.0.0.1:8000", b""])
def test_any_origin_is_refused(origin: bytes) -> None:
    for method in ("POST", "GET"):
        assert ask(application(), (b"host", b"127.0.0.1"), JSON, (b"origin", origin), method=method)[::2] == (403, 0)


@pytest.mark.parametrize(("method", "path"), [("POST", "/echo"), ("GET", "/")])
def test_a_page_that_sends_no_origin(method: str, path: str) -> None:
    for site, status in ((b"cross-site", 403), (b"same-site", 403), (b"none", 200)):
        assert ask(application(), JSON, (b"sec-fetch-site", site), path=path, method=method)[0] == status


@pytest.mark.parametrize(
    ("kind", "status"),
    [(b"application/json", 200), (b"application/json; charset=utf-8", 200), (b"APPLICATION/JSON", 200),
     (b"application/problem+json", 200), (b"text/plain", 415), (b"text/plain; a=application/json", 415),
     (b"application/x-www-form-urlencoded", 415), (b"multipart/form-data; boundary=x", 415), (b"", 415),
     (b"application/jsonp", 415), (b"text/json+json", 415), (None, 415)],
)  # fmt: skip
def test_json_only(kind: bytes | None, status: int) -> None:
    headers = [(b"content-type", kind)] if kind is not None else []
    assert ask(application(), *headers)[0] == status


def test_a_request_without_a_body_needs_no_type() -> None:
    assert ask(application(), (b"content-length", b"0"), parts=(b"",))[0] == 200
    assert ask(application(), path="/", method="GET", parts=(b"",))[0] == 200


def test_a_body_that_is_too_large_is_not_read() -> None:
    app = application()
    assert ask(app, JSON, (b"content-length", b"%d" % (1 << 20)), parts=(b"x" * (1 << 20),))[1] == b"%d" % (1 << 20)
    for length in (b"%d" % ((1 << 20) + 1), b"9" * 18, b"9" * 5000):
        status, body, read = ask(app, JSON, (b"content-length", length))
        assert (status, read) == (413, 0)
    assert b"exceeds the limit of 1 MB" in body
    assert b"max_body_mb" in body


def test_a_body_without_a_length_is_read_up_to_the_limit() -> None:
    parts = (b"x" * (1 << 19),) * 20
    for path in ("/echo", "/upload"):
        assert ask(application(WithRoutes), JSON, path=path, parts=parts)[::2] == (413, 3)


def test_the_limit_is_configurable() -> None:
    body = b"x" * (1 << 21)
    assert ask(application(max_body_mb=2), JSON, (b"content-length", b"%d" % len(body)), parts=(body,))[0] == 200


def test_routes_of_a_users_own_take_other_types_but_not_other_callers() -> None:
    app = application(WithRoutes)
    assert ask(app, (b"content-type", b"text/plain"), path="/upload", parts=(b"a", b"bc"))[:2] == (200, b"3")
    assert ask(app, (b"host", b"evil.example"), path="/upload")[0] == 421
    assert ask(app, (b"host", b"evil.example"), path="/docs", method="GET")[0] == 421


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"x-gym-timeout-ms", b"cookie", b"content-length", b"host", b"content-type", b"accept", b"x-odd"]
            ),
            st.binary(max_size=60) | st.sampled_from([b"9" * 400, b"9" * 5000, b"-1", b"\xff" * 9, b"=;=", b"0" * 99]),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_odd_headers_never_are_the_servers_failure(headers: list[tuple[bytes, bytes]]) -> None:
    assert ask(application(), *headers)[0] in (200, 413, 415, 421)


def test_a_deadline_of_any_length() -> None:
    for digits in (1, 15, 16, 400, 4200, 5000):
        assert ask(application(), JSON, (b"x-gym-timeout-ms", b"9" * digits))[0] == 200, digits


async def _listen(scene: Any) -> Any:
    options = {**uvicorn_options(), "loop": "none", "lifespan": "off", "http": DirectConnection}
    runner = uvicorn.Server(uvicorn.Config(application(), **options))
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(runner.serve([listener]))
    try:
        async with asyncio.timeout(30):
            while not runner.started:
                await asyncio.sleep(0.005)
            return await scene(listener.getsockname()[1])
    finally:
        runner.should_exit = True
        await task


def _answers(*chunks: bytes, repeat: int = 1) -> list[int]:
    """Send the chunks, the last ``repeat`` times or until the server hangs up; the statuses of what it answers."""

    async def scene(port: int) -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for chunk in (*chunks[:-1], *(chunks[-1:] * repeat)):
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
        except OSError:
            pass
        try:
            text = await reader.read()
        except OSError:
            return []
        finally:
            writer.close()
        return [int(part[:3]) for part in text.split(b"HTTP/1.1 ")[1:]]

    statuses: list[int] = asyncio.run(_listen(scene))
    return statuses


HEAD = b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    "chunks",
    [(b"POST /", b"x" * 1000), (HEAD + b"x-odd: ", b"x" * 1000), (HEAD, b"a: b\r\n" * 200),
     (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"a: b\r\n" * 200)],
    ids=["line", "header", "headers", "trailers"],
)  # fmt: skip
def test_headers_without_an_end_end_the_connection(chunks: tuple[bytes, ...]) -> None:
    statuses = _answers(*chunks, repeat=100_000)
    assert set(statuses) <= {200, 400, 431}
    assert len(statuses) < 3


@pytest.mark.enable_socket
def test_large_bodies_on_one_connection_are_no_headers() -> None:
    body = b"x" * (900 << 10)
    request = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    assert _answers(request, repeat=5) == [200] * 5


@pytest.mark.enable_socket
def test_a_body_that_is_too_large_is_answered_on_the_wire() -> None:
    declared = HEAD + b"content-length: %d\r\n\r\n" % (64 << 20)
    assert _answers(declared, b"x" * (1 << 20), repeat=64) == [413]
    chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    assert _answers(chunked, b"100000\r\n" + b"x" * (1 << 20) + b"\r\n", repeat=64) in ([413], [])


@pytest.mark.parametrize(
    ("client", "status"),
    [
        ("10.1.2.3", 200),
        ("::ffff:10.1.2.3", 200),
        ("fd00::5", 200),
        ("127.0.0.1", 200),
        ("::1", 200),
        ("10.9.9.9", 200),  # this machine, by the address that it listens on
        ("10.2.0.1", 403),
        ("192.168.1.4", 403),
        ("fe80::1", 403),
        ("::ffff:10.2.0.1", 403),
    ],
)
def test_an_exposed_server_takes_its_clients_and_this_machine(client: str, status: int) -> None:
    app = application(clients=["10.1.0.0/16", "fd00::/8"])
    answer, body, read = ask(app, (b"host", b"localhost"), JSON, client=client)
    assert answer == status
    if status == 403:
        assert (b"is not among the clients in --expose-to" in body, read) == (True, 0)


def test_a_server_without_a_list_takes_every_client() -> None:
    assert ask(application(), (b"host", b"localhost"), JSON, client="203.0.113.9")[0] == 200
