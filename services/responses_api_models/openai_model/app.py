"""Passes calls on to an endpoint that speaks the OpenAI API, with bodies touched as little as possible.

Only the top level of a request is read (msgspec keeps each value as the bytes it came in); a reply is not parsed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import stamina
from pydantic import AliasChoices, Field
from yarl import URL

from gymctl.server import Call, HopFailed, ModelServer, Reply, ServerConfig, Session, json_reply
from gymctl.server.client import KEEPALIVE_S, parse_retry_after
from gymctl.server.deadlines import Deadlines

TRY_AGAIN = frozenset({429, 500, 502, 503, 504, 520, 529})
LONGEST_WAIT = 30.0  # seconds to sit out a Retry-After here; a longer one is the caller's to decide about


class OpenAIConfig(ServerConfig):
    """The endpoint, what every request to it carries, and its limits (seconds, calls)."""

    openai_base_url: str
    openai_api_key: str
    openai_model: str = Field(validation_alias=AliasChoices("model_name", "model", "openai_model"))
    extra_body: dict[str, Any] = Field(default_factory=dict)
    openai_default_headers: dict[str, str] = Field(default_factory=dict)
    max_concurrent_requests: int | None = Field(default=None, ge=1)
    max_queued_requests: int = Field(default=16384, ge=0)
    max_retries: int = Field(default=2, ge=0)
    timeout_seconds: float = Field(default=3600.0, gt=0)


class OpenAIModel(ModelServer):
    """Both APIs are one path through: put ``model`` in, send, hand the answer's bytes back."""

    config: OpenAIConfig

    async def startup(self) -> None:
        """Prepare what every call uses: one pooled session, the fields to put in (encoded once), the gate."""
        config = self.config
        base = config.openai_base_url.rstrip("/")
        self._urls = {f"/v1/{path}": URL(f"{base}/{path}") for path in ("responses", "chat/completions")}
        self._deadlines = Deadlines()
        self._decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self._defaults = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in config.extra_body.items()}
        self._forced = {"model": msgspec.Raw(msgspec.json.encode(config.openai_model))}
        places = self.share(config.max_concurrent_requests) if config.max_concurrent_requests else None
        self._gate = asyncio.Semaphore(places) if places else None
        self._waiting = 0
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=places or 16384, keepalive_timeout=KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),  # ``Deadlines`` keeps the time of all calls
            headers={
                "authorization": f"Bearer {config.openai_api_key}",
                "content-type": "application/json",
                "accept": "*/*",
                "accept-encoding": "gzip, deflate",
                "user-agent": "gymctl",
                **config.openai_default_headers,
            },
        )

    async def shutdown(self) -> None:
        """Close the pooled connections."""
        await self._http.close()

    async def responses_call(self, call: Call, session: Session) -> Reply:
        """Pass a Responses API call on."""
        return await self._pass_on(call)

    async def chat_completions_call(self, call: Call, session: Session) -> Reply:
        """Pass a Chat Completions call on."""
        return await self._pass_on(call)

    async def _pass_on(self, call: Call) -> Reply:
        try:
            body = msgspec.json.encode({**self._defaults, **self._decode(call.body), **self._forced})
        except msgspec.DecodeError as error:
            detail = {"type": "json_invalid", "loc": ["body"], "msg": f"a JSON object is expected: {error}"}
            return json_reply({"detail": [detail]}, 422)
        until = call.deadline or time.monotonic() + self.config.timeout_seconds
        try:
            return await self._try(call.path, body, until)
        except HopFailed as failed:
            if not (self.config.max_retries and worth_another(failed)):
                raise
            return await self._try_again(call.path, body, until, failed)

    async def _try_again(self, path: str, body: bytes, until: float, failed: HopFailed) -> Reply:
        """The slow path: the failure that led here is attempt one, so stamina decides about the wait after it."""

        def wait_for(error: Exception) -> bool | float:
            if not isinstance(error, HopFailed) or not worth_another(error):
                return False
            if error is failed and error.kind == "reset":
                return 0.0  # most likely a pooled connection that the endpoint had closed: a new one will do
            if error.retry_after is None:
                return True
            return error.retry_after if error.retry_after < min(LONGEST_WAIT, until - time.monotonic()) else False

        before = [failed]
        async for attempt in stamina.retry_context(
            on=wait_for, attempts=self.config.max_retries + 1, timeout=until - time.monotonic(), wait_initial=0.25
        ):
            with attempt:
                if before:
                    raise before.pop()
                return await self._try(path, body, until)
        raise failed  # not reached: stamina raises the last failure itself

    async def _try(self, path: str, body: bytes, until: float) -> Reply:
        """One attempt at the endpoint; anything but a JSON object with status 2xx is a HopFailed."""
        try:
            with self._deadlines.until(until):
                if self._gate is None:
                    reply, answer = await self._exchange(path, body)
                else:
                    async with self._turn(self._gate, path):
                        reply, answer = await self._exchange(path, body)
        except TimeoutError as error:
            raise HopFailed(self.name, path, kind="timeout", body="no answer before the deadline") from error
        except aiohttp.ClientConnectorError as error:
            raise HopFailed(self.name, path, kind="connect", body=str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise HopFailed(self.name, path, kind="reset", body=str(error) or type(error).__name__) from error
        if reply.status // 100 == 2 and (answer[:1] == b"{" or answer.lstrip()[:1] == b"{"):
            return Reply(body=answer)
        raise HopFailed(
            self.name,
            path,
            status=reply.status,
            body=answer.decode(errors="replace"),
            retry_after=parse_retry_after(reply.headers.get("retry-after")),
        )

    async def _exchange(self, path: str, body: bytes) -> tuple[aiohttp.ClientResponse, bytes]:
        reply = await self._http.post(self._urls[path], data=body, allow_redirects=False)
        return reply, await reply.read()

    @asynccontextmanager
    async def _turn(self, gate: asyncio.Semaphore, path: str) -> AsyncIterator[None]:
        """Wait for one of ``max_concurrent_requests`` places; refuse at once when too many wait already."""
        if gate.locked() and self._waiting >= self.config.max_queued_requests:
            text = f"all {self.config.max_concurrent_requests} places are taken and {self._waiting} calls wait already"
            raise HopFailed(self.name, path, status=503, body=text, retry_after=1.0)
        self._waiting += 1
        try:
            await gate.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            gate.release()


def worth_another(failed: HopFailed) -> bool:
    """Whether the same call may succeed a moment later: too many calls, a server's fault, a broken connection."""
    return failed.kind in ("connect", "reset") or failed.status in TRY_AGAIN


if __name__ == "__main__":
    OpenAIModel.serve()
