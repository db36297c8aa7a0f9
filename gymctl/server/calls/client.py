"""Calls from one server to another by name, within the process or (``transport``) over HTTP."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from gymctl.errors import RunError
from gymctl.server.calls.deadlines import Deadlines
from gymctl.server.message import Call, Reply
from gymctl.server.tracing import current_recorder

# Client keep-alive must be shorter than the servers' (75 s): the other way round a request meets a closing socket.
KEEPALIVE_S = 15.0
AFTER_START_S = 5.0
"""Seconds after its start at which a server imports what it will need; the stack's other servers are up by then."""
_DATE_GRAIN_S = 0.05
_TOO_LATE_S = 0.05
SESSION_LOST = "session_lost"
NO_ANSWER = "no_answer"  # a reply of status 2xx of a model that is not an answer
BUSY = "busy"  # refused by the hop itself, which has too much to do: nothing further was asked
NOT_HTTP = "not an HTTP server"
"""The message for an address where something other than an HTTP server listens."""

_BODY_HEAD = 2048
_TOLD = {"connect": "cannot be reached", "timeout": "timed out", SESSION_LOST: "has lost the session"}


class HopFailed(RunError):  # noqa: N818 - it is data about a hop as much as an error
    """A call to another server failed.

    ``hop`` is the server called, ``status`` its HTTP status (0 when there was no reply), ``kind`` one of ``connect``,
    ``reset``, ``timeout``, ``session_lost``, ``busy``, ``no_answer``, ``status``; ``reason`` is what is wrong in words,
    for a reply whose status alone does not say it; ``cause`` is the innermost failing hop as a
    JSON-ready mapping.
    """

    def __init__(
        self,
        hop: str,
        path: str,
        *,
        status: int = 0,
        body: str = "",
        kind: str = "status",
        retry_after: float | None = None,
        cause: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> None:
        if status:
            answered = f"answered {status}"
        else:
            answered = _TOLD.get(kind, "broke off")
        detail = reason or body
        message = f"{hop}: POST {path} {answered}"
        if cause:  # a failure that was passed on has the words of the hop where it happened
            message = body[:600]
        elif detail:
            message += f": {detail[:300]}"
        super().__init__(message)
        self.hop = hop
        self.path = path
        self.status = status
        self.body = body[:_BODY_HEAD]
        self.kind = kind
        self.retry_after = retry_after
        own = {"hop": hop, "path": path, "status": status, "body": self.body, "kind": kind}
        self.cause: dict[str, Any] = dict(cause) if cause else own

    def add_detail(self, text: str) -> None:
        """Put a phrase at the end of the message."""
        self.message = f"{self.message}, {text}"

    @classmethod
    def of(cls, hop: str, path: str, reply: Reply) -> HopFailed:
        """The failure that an error reply describes; a cause in the reply is kept as the innermost one."""
        text = reply.body[:_BODY_HEAD].decode("utf-8", "replace")
        cause = None
        if b'"cause"' in reply.body:
            try:
                parsed = reply.json()
            except ValueError:
                parsed = None
            if isinstance(parsed, dict) and isinstance(parsed.get("cause"), dict):
                cause = parsed["cause"]
                text = str(parsed.get("detail", text))
        retry_after = parse_retry_after(reply.headers.get("retry-after"))
        return cls(hop, path, status=reply.status, body=text, retry_after=retry_after, cause=cause)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, a number or a date (RFC 9110); None for anything else."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value)
    if math.isfinite(seconds):
        return max(0.0, seconds)
    return None


def _seconds_until(date: str) -> float | None:
    """Seconds until an HTTP date; 0 for one that has passed."""
    from email.utils import parsedate_to_datetime

    try:
        until = parsedate_to_datetime(date)
        return max(0.0, until.replace(tzinfo=until.tzinfo or datetime.UTC).timestamp() - time.time() + _DATE_GRAIN_S)
    except (ValueError, OverflowError):
        return None


def unanswered(seconds: float) -> str:
    """The message for a call that got no reply within that many seconds."""
    if seconds < _TOO_LATE_S:
        return "the rollout's deadline had passed before this call"
    return f"no reply within {seconds:.1f} s"


class Transport(Protocol):
    """How a call gets to a server of a given name."""

    async def send(self, server: str, call: Call) -> Reply:
        """Deliver the call and return the reply, whatever its status; raise ``HopFailed`` when there is none."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class Client:
    """Calls servers by name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def post(
        self,
        server: str,
        path: str,
        body: bytes,
        *,
        cookies: Mapping[str, str] | None = None,
        deadline: float | None = None,
        conversation: str = "",
    ) -> Reply:
        """POST ``body`` to a server and return its reply, whatever the status.

        Args:
            server: its name.
            path: of the endpoint.
            body: JSON.
            cookies: to send.
            deadline: on ``time.monotonic()``'s scale.
            conversation: whether the body is kept, or continues one that was (``kept_bodies``).

        Raises:
            HopFailed: there was no reply (connect, reset, timeout).
        """
        call = Call(path, body, "POST", cookies or {}, deadline, conversation=conversation)
        return await self._sending(server, call)

    async def get(self, server: str, path: str, *, deadline: float | None = None) -> Reply:
        """GET from a server; as ``post``."""
        return await self._transport.send(server, Call(path, b"", "GET", {}, deadline))

    async def ask(
        self,
        server: str,
        path: str,
        body: bytes,
        *,
        cookies: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        """As ``post``, but an error status raises too.

        Raises:
            HopFailed: no reply, or one of status 400 and above.
        """
        reply = await self._sending(server, Call(path, body, "POST", cookies or {}, deadline))
        if reply.status >= 400:
            raise HopFailed.of(server, path, reply)
        return reply

    def _sending(self, server: str, call: Call) -> Awaitable[Reply]:
        """The delivery of a call; it is measured in a rollout that is traced."""
        recorder = current_recorder()
        if recorder is None:
            return self._transport.send(server, call)
        return recorder.send(self._transport, server, call)

    async def close(self) -> None:
        """Release connections."""
        await self._transport.close()


class CallHandler(Protocol):
    """A server that answers calls within the process."""

    async def handle(self, call: Call) -> Reply:
        """Answer one call."""


class LocalTransport:
    """Calls within the process: no socket, no header, the same bodies."""

    def __init__(self, servers: Mapping[str, CallHandler]) -> None:
        self._servers = servers
        self._deadlines = Deadlines()

    async def send(self, server: str, call: Call) -> Reply:
        """Hand the call to the server; a deadline ends it as it would over HTTP."""
        target = self._servers.get(server)
        if target is None:
            raise HopFailed(server, call.path, kind="connect", body=f"unknown server {server!r}")
        if call.deadline is None:
            return await target.handle(call)
        try:
            with self._deadlines.until(call.deadline):
                return await target.handle(call)
        except TimeoutError as error:
            raise HopFailed(server, call.path, kind="timeout", body="no reply before the deadline") from error

    async def close(self) -> None:
        """Nothing is held."""
