"""The ASGI application of a server: calls endpoints directly, and FastAPI only for other paths."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from gymctl.errors import GymctlError
from gymctl.server.disconnect import while_wanted
from gymctl.server.episodes import plain_path
from gymctl.server.message import CONVERSATION_HEADER, DEADLINE_HEADER, PASSED_HEADERS, SPANS_HEADER, Call, Reply
from gymctl.server.request_checks import RequestChecks
from gymctl.server.rollout_context import ROLLOUT_HEADER, TRACE_HEADER, begin_request, begin_trace
from gymctl.server.run.startup import StartFailed, start
from gymctl.server.sessions import COOKIE_ATTRIBUTES

if TYPE_CHECKING:
    from gymctl.server.endpoints import Endpoint
    from gymctl.server.hosting import HostedServer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger("gymctl.server")

_DEADLINE = DEADLINE_HEADER.encode()
_CONVERSATION = CONVERSATION_HEADER.encode()
_ROLLOUT = ROLLOUT_HEADER.encode()
_TRACE = TRACE_HEADER.encode()
_SPANS = SPANS_HEADER.encode()
_MOST_DIGITS = 15  # of a deadline in milliseconds: more are as good as none
_DOCUMENTATION = ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect")


class Application:
    """An ASGI application around one server.

    Attributes:
        server: the server that handles the calls.
    """

    def __init__(self, server: HostedServer) -> None:
        self.server = server
        self._checks = RequestChecks(server)
        self._starting: asyncio.Task[Any] | None = None

    @property
    def most_bytes(self) -> int:
        """Size of the largest body that the server takes."""
        return self._checks.most_bytes

    def too_large(self) -> Reply:
        """The reply to a larger body."""
        return self._checks.too_large()

    def unrefused_endpoint(self, scope: Scope) -> Endpoint | None:
        """The endpoint of a request's method and path, unless its headers rule the request out."""
        endpoint = self.server.endpoints.get((scope["method"], plain_path(scope["path"])))
        if endpoint is None or self._checks.refusal(scope, only_json=True) is not None:
            return None
        return endpoint

    def give_up_start(self) -> None:
        """Cancel the server's ``startup``, if it is under way: the start has then failed."""
        if self._starting is not None:
            self._starting.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection scope."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, unless its headers or its size rule that out."""
        server = self.server
        endpoint = server.endpoints.get((scope["method"], plain_path(scope["path"])))
        elsewhere = not endpoint and (server.has_routes or scope["path"] in _DOCUMENTATION)
        refusal = self._checks.refusal(scope, only_json=not elsewhere)
        if refusal is not None:
            await _write_reply(refusal, send)
            return
        try:
            body = await _read_body(receive, self._checks.most_bytes)
        except _TooLargeError:
            await _write_reply(self._checks.too_large(), send, close=True)
            return
        if body is None:
            return
        if elsewhere:
            await server.application(scope, _replayed(body, receive), send)
            return
        work = server.handle(call_of(scope, body))
        reply = await while_wanted(work, receive) if endpoint and endpoint.while_wanted else await work
        if reply is not None:
            await _write_reply(reply, send, close=server.sessions.is_draining)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start and stop the server when the ASGI server requests it (the lifespan protocol)."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                failure = await self._start()
                if failure is not None:
                    await send({"type": "lifespan.startup.failed", "message": failure})  # uvicorn logs it and ends
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.server.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _start(self) -> str | None:
        """Start the server; returns why it did not, as a sentence for the user."""
        self._starting = asyncio.current_task()
        try:
            await start(self.server)
        except GymctlError as error:
            if isinstance(error, StartFailed):
                log.exception("%s failed to start:", self.server.name, exc_info=error.__cause__)
            return f"error: {error}"
        except asyncio.CancelledError:
            return f"{self.server.name} was stopped before it had started"
        finally:
            self._starting = None
        return None


class _TooLargeError(Exception):
    """A body without a length in its header is larger than the server takes."""


async def _read_body(receive: Receive, most: int) -> bytes | None:
    """The request's body; None when the caller hung up.

    Raises:
        _TooLargeError: it has more than ``most`` bytes.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _TooLargeError
        if not message.get("more_body"):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What an application of the user's receives: the body that was read, then what comes after it."""
    inbox = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> MutableMapping[str, Any]:
        """The body that was already read, then whatever the connection brings."""
        return inbox.pop() if inbox else await receive()

    return receive_again


def call_of(scope: Scope, body: bytes) -> Call:
    """The call that a request is."""
    place = scope.get("server")
    call = Call(
        plain_path(scope["path"]), body, scope["method"], headers=scope["headers"], place=place[0] if place else ""
    )
    for key, value in scope["headers"]:
        if key == b"cookie":
            call.cookies = _cookies(value)
        elif key == _ROLLOUT:
            begin_request(value)
        elif key == _TRACE:
            call.traceparent = begin_trace(value)
        elif key == _DEADLINE and value.isdigit() and len(value) <= _MOST_DIGITS:
            call.deadline = time.monotonic() + int(value) / 1000
        elif key == _CONVERSATION:
            call.conversation = value.decode("latin-1")
    return call


def _cookies(value: bytes) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in value.decode("latin-1").split(";"))
    return {name: content for name, _, content in pairs}


def reply_headers(reply: Reply) -> list[tuple[bytes, bytes]]:
    """The header fields of a reply."""
    headers = [
        (b"content-type", reply.media_type.encode("latin-1")),
        (b"content-length", str(len(reply.body)).encode()),
    ]
    for name, value in reply.headers.items():
        headers.append((name.encode("latin-1"), value.encode("latin-1")))
    if reply.spans is not None:
        headers.append((_SPANS, reply.spans.header.encode("latin-1")))
    for name, value in reply.cookies.items():
        headers.append((b"set-cookie", f"{name}={value}{COOKIE_ATTRIBUTES}".encode("latin-1")))
    return headers


async def _write_reply(reply: Reply, send: Send, *, close: bool = False) -> None:
    headers = reply_headers(reply)
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def call_application(application: Any, call: Call) -> Reply:
    """Call an ASGI application within the process: how a user's own FastAPI routes are reached without a socket."""
    cookies = "; ".join(f"{name}={value}" for name, value in call.cookies.items())
    headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]
    if cookies:
        headers.append((b"cookie", cookies.encode("latin-1")))
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": call.method, "scheme": "http",
        "path": call.path, "raw_path": call.path.encode(), "query_string": b"", "headers": headers,
        "server": ("localhost", 80), "client": ("localhost", 0), "root_path": "",
    }  # fmt: skip
    reply = Reply(500)
    inbox = [{"type": "http.request", "body": call.body, "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        """The body in one message; after it, nothing comes."""
        if inbox:
            return inbox.pop()
        await asyncio.Event().wait()  # the caller stays connected; a disconnect is never reported
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        """Add a message of the application to the reply."""
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            for key, value in message["headers"]:
                _take_header(reply, key.decode("latin-1").lower(), value.decode("latin-1"))
        else:
            reply.body += message.get("body", b"")

    await application(scope, receive, send)
    return reply


def _take_header(reply: Reply, name: str, value: str) -> None:
    if name == "set-cookie":
        cookie, _, content = value.partition(";")[0].partition("=")
        reply.cookies[cookie.strip()] = content.strip()
    elif name == "content-type":
        reply.media_type = value
    elif name in PASSED_HEADERS:
        reply.headers[name] = value
