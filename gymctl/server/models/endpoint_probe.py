"""Whether a model endpoint is reachable, accepts the key, serves the model and has the API that its server calls."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from gymctl.config.egress_hosts import is_refusal
from gymctl.config.wording import listing
from gymctl.server.calls.http_connection import BrokenConnectionError, NotHttpError
from gymctl.server.calls.proxies import GATEWAY
from gymctl.server.message import printable_line
from gymctl.server.models.refusals import parts_of, refused_parameter

if TYPE_CHECKING:
    from gymctl.server.models.affinity import Backend
    from gymctl.server.models.endpoint import Provider

PROBE_S = 5.0
"""Seconds that the probe of one server takes at most, however many endpoints it has."""

RESPONSES = "responses"
CHAT = "chat/completions"
_MOST_CHARACTERS = 200
_NO_SUCH_CALL = frozenset({404, 405, 501})
_REFUSED_REQUEST = frozenset({400, 422})
# The least that OpenAI's Responses API accepts is 16; a model that thinks refuses ``max_tokens`` in Chat Completions.
_SMALL_CALLS: Mapping[str, Mapping[str, Any]] = {
    RESPONSES: {"input": "Hi", "max_output_tokens": 16},
    CHAT: {"messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 1},
}


@dataclass(frozen=True)
class ProbeReply:
    """What an endpoint answered."""

    url: str
    status: int
    body: bytes
    location: str = ""

    @property
    def text(self) -> str:
        """The message of an error's body on one short line."""
        message = printable_line(parts_of(self.body.decode(errors="replace"))[1], _MOST_CHARACTERS)
        if message:
            return f": {message}"
        return ""

    @property
    def value(self) -> Any:
        """The body as JSON; None when it is not JSON."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            return None

    @property
    def names_model(self) -> bool:
        """Whether a refusal is about the model's name."""
        text = self.body.decode(errors="replace")
        codes = parts_of(text)[0]
        return refused_parameter(text) == "model" or "model_not_found" in codes or "DeploymentNotFound" in codes


@dataclass(frozen=True)
class _Probe:
    """The probe of one endpoint for one model."""

    provider: Provider
    backend: Backend
    model: str
    api: str
    """The call that the server makes: ``responses`` or ``chat/completions``."""
    chat_server: str
    """What to do where the endpoint has Chat Completions only; empty where that is what the server calls."""

    async def problem(self) -> str:
        """What keeps the endpoint from answering the server's calls; empty when nothing does."""
        reached = False
        try:
            async with asyncio.timeout(PROBE_S):
                listed = await self._ask("models", b"", "GET")
                reached = True
                return await self._judged(listed)
        except TimeoutError:
            if reached:
                return ""  # it is there, and slow: a model may take longer for one token
            return f"no answer from {self.backend.url} within {PROBE_S:g} s{_about_gateway(self.backend.url)}"
        except (OSError, ValueError) as error:
            return connection_problem(self.backend.url, error)

    async def _judged(self, listed: ProbeReply) -> str:
        """Judge an endpoint by its answer to ``GET models``, and by a small call where that does not decide."""
        models = served_models(listed)
        if models is None and listed.status == 200:
            return ""  # it answers and takes the key; which models it serves, it does not list
        if models is None or self.model not in models:
            return await self._call_problem(await self._post(self.api), models)
        if self.chat_server:
            # an empty request is refused by every endpoint that has the call, and costs nothing
            empty = await self._ask(self.api, b"{}")
            if empty.status in _NO_SUCH_CALL and not empty.names_model:
                return await self._missing_call(empty, models)
        return ""

    async def _post(self, api: str) -> ProbeReply:
        return await self._ask(api, orjson.dumps({"model": self.model, **_SMALL_CALLS[api]}))

    async def _ask(self, path: str, body: bytes, method: str = "POST") -> ProbeReply:
        reply = await self.provider.exchange(self.backend, path, body, method)
        url = self.provider.url(self.backend, path)
        return ProbeReply(url=url, status=reply.status, body=reply.body, location=reply.headers.get("location", ""))

    async def _call_problem(self, reply: ProbeReply, models: Sequence[str] | None) -> str:
        """The problem that the answer to a small call indicates."""
        status = reply.status
        if status in _NO_SUCH_CALL and not reply.names_model:
            return await self._missing_call(reply, models)
        if reply.names_model or (models is not None and status in _REFUSED_REQUEST):
            return self._unknown_model(reply, models)
        if status in _REFUSED_REQUEST:
            return ""  # it takes the key, and real calls have other parameters
        return status_problem(reply)

    async def _missing_call(self, reply: ProbeReply, models: Sequence[str] | None) -> str:
        """The call is not there, or the model is not: endpoints answer 404 for both."""
        if models and self.model not in models:
            return self._unknown_model(reply, models)
        if self.chat_server:
            chat = await self._post(CHAT)
            if chat.status not in _NO_SUCH_CALL:
                return f"{self.backend.url} speaks Chat Completions only; {self.chat_server}"
        base = self.backend.url.rstrip("/")
        hint = "check the base URL"
        if not base.endswith("/v1"):
            versioned = await self._ask("v1/models", b"", "GET")
            if served_models(versioned) is not None:
                hint = f"use {base}/v1"
        return f"{reply.status} from {reply.url}{reply.text}; {hint}"

    def _unknown_model(self, reply: ProbeReply, models: Sequence[str] | None) -> str:
        if models:
            return f"no model {self.model!r}; it serves {listing(models)}"
        return f"no model {self.model!r}{reply.text}"


async def endpoint_problems(provider: Provider, model: str, api: str, *, chat_server: str = "") -> list[str]:
    """What keeps each of a server's endpoints from answering its calls; empty when nothing does.

    Args:
        provider: the endpoints.
        model: the name that calls have.
        api: path of the call, ``responses`` or ``chat/completions``.
        chat_server: what to do where the endpoint has Chat Completions only.
    """
    probes = [
        _Probe(provider=provider, backend=backend, model=model, api=api, chat_server=chat_server)
        for backend in provider.backends
    ]
    problems = await asyncio.gather(*(probe.problem() for probe in probes))
    if len(probes) == 1:
        return [problem for problem in problems if problem]
    return [
        problem if probe.backend.url in problem else f"{probe.backend.url}: {problem}"
        for probe, problem in zip(probes, problems, strict=True)
        if problem
    ]


def status_problem(reply: ProbeReply) -> str:
    """The problem that a status indicates for any call; empty for an answer."""
    if reply.status // 100 == 3:
        return f"{reply.url} redirects to {printable_line(reply.location)}; configure the final address"
    if reply.status in (401, 403):
        return f"{reply.status}{_refusal_reason(reply)}"
    if reply.status // 100 != 2:
        return f"{reply.status} from {reply.url}{reply.text}"
    if not isinstance(reply.value, dict):
        return f"{reply.url} answers without JSON; the base URL must be the address of an OpenAI-style API"
    return ""


def _refusal_reason(reply: ProbeReply) -> str:
    """Why a call was refused: by the endpoint, or by the proxy of a server's list of hosts."""
    if is_refusal(reply.text):
        return reply.text
    if reply.status == 401:
        return f": the key is not accepted{reply.text}"
    return f": the key does not permit this call{reply.text}"


def served_models(reply: ProbeReply) -> list[str] | None:
    """The models that ``GET models`` lists, printable; None when the reply is not such a list."""
    value = reply.value
    if reply.status != 200 or not isinstance(value, dict) or not isinstance(value.get("data"), list):
        return None
    names = (item.get("id") for item in value["data"] if isinstance(item, dict))
    return [printable_line(name) for name in names if isinstance(name, str)]


def connection_problem(url: str, error: Exception) -> str:
    """Why an endpoint cannot be reached, as a sentence."""
    reported = error.__cause__ or error  # by the library that was used
    cause = getattr(reported, "os_error", reported)
    if isinstance(reported, ssl.SSLError) or isinstance(cause, ssl.SSLError):
        return f"{url}: the TLS connection fails ({printable_line(str(error))}); see --ca-bundle, or use http://"
    if isinstance(cause, socket.gaierror):
        return f"{url}: the host name does not resolve"
    if isinstance(cause, ConnectionRefusedError):
        return f"{url} refuses connections{_about_gateway(url)}"
    if isinstance(error, BrokenConnectionError) and not isinstance(error, NotHttpError):
        return f"{url} closes the connection without an answer"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{url} cannot be reached: {printable_line(text)}{_about_gateway(url)}"


def _about_gateway(url: str) -> str:
    """What to know of an address that is the host of the containers, in place of localhost."""
    if GATEWAY not in url:
        return ""
    return (
        f"; {GATEWAY} replaces localhost in containers, and what listens there must accept connections from Docker's "
        "bridge, not only from 127.0.0.1"
    )
