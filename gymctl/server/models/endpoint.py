"""A model's endpoints outside of the stack: pooled connections, concurrency limits, retries, deadlines, and health."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from pydantic import Field

from gymctl.server.base import Server, ServerConfig
from gymctl.server.calls.client import BUSY, NO_ANSWER, HopFailed, parse_retry_after
from gymctl.server.calls.deadlines import Deadlines
from gymctl.server.models.affinity import Affinity, Backend
from gymctl.server.models.answers import Answer, Api, parse_object, read_answer
from gymctl.server.models.attempts import REMOVED, Decision, worth_another
from gymctl.server.models.broken_calls import broken_call, without_answer
from gymctl.server.models.endpoint_client import EndpointClient, EndpointReply
from gymctl.server.models.growing_requests import GrowingRequest
from gymctl.server.models.listed_calls import EndpointRemovedError
from gymctl.server.models.media_addresses import MediaChecks
from gymctl.server.models.policy_watch import PolicyWatch
from gymctl.server.models.refusals import refused_parameter
from gymctl.server.models.reply_body import UnreadableBodyError

# An unanswered call of this length indicates a failing backend; a shorter one only its caller's deadline.
_FROZEN_S = 30.0
# Statuses that may mean that another address was meant: the failure then names the one that was called.
_OF_THE_ADDRESS = frozenset({401, 403, 404, 405})
_JUDGED = {api.value: api for api in Api}
_PARTIAL = 206
_MOST_CONNECTIONS = 16384


class ProviderConfig(ServerConfig):
    """The limits of a server that calls a model's endpoints (seconds, calls)."""

    max_concurrent_requests: int | None = Field(default=None, ge=1)
    """Maximum number of concurrent calls to the endpoint; unlimited by default."""
    max_queued_requests: int = Field(default=16384, ge=0)
    """Maximum number of calls that wait for a free slot; further ones are rejected with 503."""
    max_retries: int = Field(default=2, ge=0)
    """Maximum number of retries of a failed call."""
    timeout_seconds: float = Field(default=3600.0, gt=0)
    """Time limit of a call in seconds, including its retries."""
    backend_rest_seconds: float = Field(default=15.0, gt=0)
    """Seconds for which a failing endpoint is avoided, if there are several."""
    media_hosts: list[str] = Field(default_factory=list)
    """Hosts of private networks from which images, audio and files in conversations may be fetched."""


class Provider:
    """Calls to one endpoint, or to several equal ones.

    Args:
        server: the calling server; its configuration has the limits, its name appears in failures.
        urls: the endpoints' addresses.
        headers: sent with every call; of one name in whatever case, the last.
        query: parameters of every call's address.
        address: makes the address to call of one that is configured, or given while the server runs.
    """

    def __init__(
        self,
        server: Server,
        urls: Sequence[str],
        *headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        address: Callable[[str], str] = str,
    ) -> None:
        config = server.config
        assert isinstance(config, ProviderConfig)  # noqa: S101 - what a model server declares is known when it is written
        self._name = server.name
        self._monitor = server.monitor
        self._config = config
        self._media = MediaChecks(config.media_hosts)
        self._address = address
        addresses = [address(url) for url in urls]
        self._affinity = Affinity(addresses, config.backend_rest_seconds)
        self._deadlines = Deadlines()
        self._places = server.share(config.max_concurrent_requests) if config.max_concurrent_requests else None
        self._gate = asyncio.Semaphore(self._places) if self._places else None
        self._waiting = 0
        self._client = EndpointClient(addresses, self._places or _MOST_CONNECTIONS, headers, query or {})
        self._watch = PolicyWatch.of(server, self._replace)

    async def close(self) -> None:
        """Close the pooled connections."""
        if self._watch is not None:
            await self._watch.stop()
        await self._client.close()

    def _replace(self, urls: Sequence[str]) -> None:
        """Call other endpoints from now on; calls at one that is no longer listed are repeated at one that is."""
        self._affinity.replace([self._address(url) for url in urls])
        self._client.forget()

    @property
    def weight_version(self) -> str:
        """Version of the policy's weights, where it was given with the list of endpoints."""
        return self._watch.weight_version if self._watch else ""

    async def post(
        self,
        path: str,
        body: bytes,
        *,
        session: str,
        deadline: float | None,
        growing: GrowingRequest | None = None,
    ) -> Answer:
        """The endpoint's answer: a model's, judged by ``read_answer``, or any JSON object.

        Args:
            path: below the endpoint's address (``chat/completions``), or outside of its ``/v1`` (``../tokenize``).
            body: JSON.
            session: calls of one session go to one backend.
            deadline: on ``time.monotonic()``'s scale; by default, ``timeout_seconds`` from now.
            growing: the request that ``body`` was made from by ``with_fields``.

        Raises:
            HopFailed: no such answer, further attempts included.
            RefusedError: the conversation has an address of an image or the like that is not a public one.
        """
        await self._media.check((session, path), body, growing)
        until = deadline or time.monotonic() + self._config.timeout_seconds
        if self._watch is not None:
            await self._watch.first_look()
        backend = self._affinity.choose(session)
        try:
            return await self._try(backend, path, body, until)
        except HopFailed as failed:
            if not worth_another(failed):
                raise
            return await self._try_again(backend, path, body, session, until, failed)

    async def _try_again(
        self, backend: Backend, path: str, body: bytes, session: str, until: float, failed: HopFailed
    ) -> Answer:
        """The slow path: the failure that led here is attempt one, so stamina decides about the wait after it."""
        import stamina

        logging.getLogger("stamina").setLevel(logging.ERROR)  # a failed retry is reported by its own reply
        decision = Decision(self._config.max_retries, self._affinity, until)
        before = [failed]
        decision.note(backend, failed)
        async for attempt in stamina.retry_context(
            on=decision.wait_for, attempts=None, timeout=until - time.monotonic(), wait_initial=0.25
        ):
            with attempt:
                if before:
                    raise before.pop()
                backend = self._affinity.choose(session, decision.avoided)
                try:
                    return await self._try(backend, path, body, until)
                except HopFailed as again:
                    decision.note(backend, again)
                    raise
        raise failed  # not reached: stamina raises the last failure itself

    async def _try(self, backend: Backend, path: str, body: bytes, until: float) -> Answer:
        """One attempt at one backend; anything but an answer with status 2xx is a HopFailed."""
        started = time.monotonic()
        place = self._place(path)
        try:
            with backend.calls.call(), self._deadlines.until(until):
                if self._gate is None:
                    reply = await self.exchange(backend, path, body)
                else:
                    async with self._turn(self._gate, place):
                        started = time.monotonic()
                        reply = await self.exchange(backend, path, body)
        except EndpointRemovedError as error:
            raise HopFailed(self._name, place, kind=REMOVED, body=str(error)) from error
        except TimeoutError as error:
            if time.monotonic() - started > _FROZEN_S:
                self._affinity.failed(backend)
            raise HopFailed(self._name, place, kind="timeout", body="no answer before the deadline") from error
        except UnreadableBodyError as error:
            raise HopFailed(self._name, place, status=200, kind=NO_ANSWER, reason=str(error)) from error
        except OSError as error:
            self._affinity.failed(backend)
            raise broken_call(self._name, place, backend.url, error) from error
        (self._affinity.failed if reply.status >= 500 else self._affinity.worked)(backend)
        retry_after = parse_retry_after(reply.headers.get("retry-after"))
        if reply.status // 100 == 2:
            return self._read(place, reply.status, reply.body, retry_after)
        text = reply.body.decode(errors="replace")
        if reply.status < 400:
            reason = without_answer(reply)
            raise HopFailed(self._name, place, status=reply.status, kind=NO_ANSWER, body=text, reason=reason)
        parameter = refused_parameter(text)
        reason = f"parameter {parameter!r}: {text}" if parameter else ""
        if reply.status in _OF_THE_ADDRESS:
            reason = f"(asked {self._client.url(backend.url, path)}) {text}"
        raise HopFailed(self._name, place, status=reply.status, body=text, retry_after=retry_after, reason=reason)

    def _read(self, place: str, status: int, body: bytes, retry_after: float | None) -> Answer:
        """The answer in a reply of status 2xx."""
        if status == _PARTIAL:
            reason = "the answer is only a part of the content"
            raise HopFailed(self._name, place, status=status, kind=NO_ANSWER, reason=reason)
        api = _JUDGED.get(place)
        if api is None:
            return Answer(parse_object(body, self._name, place), body)
        try:
            judged = read_answer(api, body, self._name, status=status)
            if self._monitor is not None:
                self._monitor.answered(judged.value)
            return judged
        except HopFailed as failed:
            failed.retry_after = retry_after
            raise

    @staticmethod
    def _place(path: str) -> str:
        """How failures name the path: as OpenAI's documents do."""
        return path[2:] if path.startswith("../") else f"/v1/{path}"

    @property
    def backends(self) -> Sequence[Backend]:
        """The endpoints, in the order of their addresses."""
        return self._affinity.backends

    async def exchange(self, backend: Backend, path: str, body: bytes, method: str = "POST") -> EndpointReply:
        """One request to one endpoint, without limits or further attempts; see ``EndpointClient.request``."""
        return await self._client.request(backend.url, path, body, method)

    def url(self, backend: Backend, path: str) -> str:
        """The address of a call, without parameters and credentials."""
        return self._client.url(backend.url, path)

    @asynccontextmanager
    async def _turn(self, gate: asyncio.Semaphore, place: str) -> AsyncIterator[None]:
        """Wait for one of ``max_concurrent_requests`` places; refuse at once when too many wait already."""
        if gate.locked() and self._waiting >= self._config.max_queued_requests:
            limit = self._config.max_concurrent_requests
            text = f"{limit} requests in flight (the limit) and {self._waiting} queued"
            raise HopFailed(self._name, place, status=503, kind=BUSY, body=text, retry_after=1.0)
        self._waiting += 1
        try:
            await gate.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            gate.release()
