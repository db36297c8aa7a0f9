"""Agent servers: the loop of one rollout between a model server and a resources server."""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from gymctl.config import exact_json
from gymctl.config.vocabulary import ServerKind
from gymctl.server.agent_requests import read_params, read_row
from gymctl.server.base import Server, ServerConfig
from gymctl.server.calls.client import Client, HopFailed
from gymctl.server.conversation import Conversation
from gymctl.server.endpoints import endpoint, invalid
from gymctl.server.episodes import NO_TOOLS, AgentSessionRequest, begin_agent_session, close_agent_session
from gymctl.server.kept_bodies import KEEP, LEAST_BYTES, continuing, is_not_kept, kept_name
from gymctl.server.message import TOOL_ERRORS_HEADER, Call, Reply, failure_sentence, json_reply
from gymctl.server.metrics_reply import baseline_reply
from gymctl.server.models.answers import Api, read_answer
from gymctl.server.sessions import Session
from gymctl.server.tool_calls import answer_text, offered_tools, unknown_tool

# Routes of a resources server that are no tools: a model must not be able to seed or score its own rollout.
_NOT_TOOLS = frozenset({"seed_session", "verify", "close_session", "aggregate_metrics"})
_TOOL_NAME = re.compile(r"[\w.-]+")  # a name becomes a path: nothing in it may lead elsewhere


class ServerReference(BaseModel):
    """A reference to another server by kind and name."""

    type: str
    name: str


class AgentConfig(ServerConfig):
    """Configuration of an agent: the model server and the resources server it calls."""

    resources_server: ServerReference
    """Resources server that provides the tasks."""
    model_server: ServerReference
    """The model server that it calls."""
    skip_verification: bool = False
    """Whether a rollout ends without a verdict."""
    skip_verification_reward: float = Field(0.0, allow_inf_nan=False)
    """Reward of a rollout without a verdict."""


class Rollout:
    """One rollout's way through its peers: cookies and the deadline go along from hop to hop, and time is kept.

    The cookies of each peer are replaced by what that peer last sent, as upstream's agent does.

    Attributes:
        offered: names of the tools that may be called: those of the row. An agent that calls others on its own account
            adds them.
        tool_errors: calls that a tool failed at, by tool.
    """

    def __init__(self, client: Client, config: AgentConfig, call: Call) -> None:
        self._client = client
        self._deadline = _with_time_to_tell(call.deadline)
        self._resources = config.resources_server.name
        self._model = config.model_server.name
        self.resources_cookies: dict[str, str] = dict(call.cookies)
        self.model_cookies: dict[str, str] = {}
        self.offered: frozenset[str] = frozenset()
        self.tool_errors: Counter[str] = Counter()
        self._spent: dict[str, list[float]] = {}

    async def model(self, params: Conversation | dict[str, Any]) -> dict[str, Any]:
        """Ask the model server for the next response; a ``Conversation`` is encoded only where it has grown.

        Raises:
            HopFailed: it did not answer with a Response.
        """
        started = time.perf_counter()
        try:
            if isinstance(params, Conversation):
                reply = await self._converse(params)
            else:
                reply = await self._ask_model(exact_json.dumps(params))
        finally:
            self._note("model", started)
        if reply.status >= 400:
            raise HopFailed.of(self._model, Api.RESPONSES.value, reply)
        if reply.cookies:
            self.model_cookies = reply.cookies
        if reply.answer is not None:
            return reply.answer
        # Also a server that is not ours may pass on what is not an answer.
        return read_answer(Api.RESPONSES, reply.body, self._model, status=reply.status).value

    async def _converse(self, conversation: Conversation) -> Reply:
        """The model server's reply to a conversation; only what is new is sent to a server that keeps the rest."""
        if conversation.continues:
            continued = continuing(conversation.continues, conversation.length_kept)
            reply = await self._ask_model(conversation.rest, continued)
            if not is_not_kept(reply):
                conversation.kept_as(kept_name(reply))
                return reply
        body = conversation.body
        if len(body) < LEAST_BYTES:
            return await self._ask_model(body)
        reply = await self._ask_model(body, KEEP)
        conversation.kept_as(kept_name(reply))
        return reply

    async def _ask_model(self, body: bytes, conversation: str = "") -> Reply:
        return await self._client.post(
            self._model, Api.RESPONSES.value, body,
            cookies=self.model_cookies, deadline=self._deadline, conversation=conversation,
        )  # fmt: skip

    async def tool(self, name: str, arguments: dict[str, Any]) -> str:
        """Call a tool that the row offers; what it answers is the text that the model gets.

        Whatever the model got wrong is text too. A tool that fails (an answer of status 500 and above) is counted, and
        the model gets a sentence.

        Raises:
            HopFailed: the server itself could not take the call (no reply, or 502, 503, 504): the tool then has no
            result.
        """
        if name not in self.offered or name in _NOT_TOOLS or not _TOOL_NAME.fullmatch(name):
            return unknown_tool(name, self.offered - _NOT_TOOLS)
        started = time.perf_counter()
        path = f"/{name}"
        reply = await self._client.post(
            self._resources, path, exact_json.dumps(arguments), cookies=self.resources_cookies, deadline=self._deadline
        )
        self._note("tool", started)
        if reply.status in (502, 503, 504):
            raise HopFailed.of(self._resources, path, reply)
        if reply.cookies:
            self.resources_cookies = reply.cookies
        if reply.status >= 500:
            self.tool_errors[name] += 1
            return answer_text(f"The tool {name} failed: {failure_sentence(reply)}")
        return reply.body.decode("utf-8", "replace")

    async def seed(self, row: bytes) -> None:
        """Start the episode at the resources server with the whole row."""
        await self._resources_call("seed", "/seed_session", row)

    async def verify(self, row: bytes) -> Reply:
        """The resources server's verdict on the row with its response."""
        return await self._resources_call("verify", "/verify", row)

    async def leave(self) -> None:
        """End the episode without a verdict. A server that cannot is left alone: nothing depends on it."""
        with suppress(HopFailed):
            await self._client.post(
                self._resources, "/close_session", b"{}", cookies=self.resources_cookies, deadline=self._deadline
            )

    async def _resources_call(self, hop: str, path: str, body: bytes) -> Reply:
        reply = await self._timed(hop, self._resources, path, body, self.resources_cookies)
        if reply.cookies:
            self.resources_cookies = reply.cookies
        return reply

    async def _timed(self, hop: str, server: str, path: str, body: bytes, cookies: dict[str, str]) -> Reply:
        started = time.perf_counter()
        try:
            return await self._client.ask(server, path, body, cookies=cookies, deadline=self._deadline)
        finally:
            self._note(hop, started)

    def _note(self, hop: str, started: float) -> None:
        spent = self._spent.setdefault(hop, [0.0, 0.0])
        spent[0] += (time.perf_counter() - started) * 1000
        spent[1] += 1

    def calls(self, hop: str) -> int:
        """How many calls were made so far: ``model``, ``tool``, ``seed`` or ``verify``."""
        return int(self._spent.get(hop, (0.0, 0.0))[1])

    @property
    def timing(self) -> str:
        """Milliseconds by hop, as a ``Server-Timing`` header; ``desc`` is the number of calls."""
        return ", ".join(f'{hop};dur={ms:.2f};desc="{count:.0f}"' for hop, (ms, count) in self._spent.items())

    def headers(self) -> dict[str, str]:
        """Headers that say where the time went and, when a tool failed, which and how often: ``server/tool=2``."""
        headers = {"server-timing": self.timing}
        if self.tool_errors:
            # Names of rows may have letters that a header cannot hold.
            counts = [f"{quote(f'{self._resources}/{name}')}={n}" for name, n in sorted(self.tool_errors.items())]
            headers[TOOL_ERRORS_HEADER] = ", ".join(counts)
        return headers


class AgentServer(Server):
    """An agent: ``respond`` is its loop; seeding, verifying and the wire around them are here."""

    config: AgentConfig
    kind: ClassVar[str] = ServerKind.AGENT.value
    stateless: ClassVar[bool] = True

    async def respond(self, params: dict[str, Any], rollout: Rollout) -> dict[str, Any]:
        """From create params to the final Response, its ``output`` holding every new item. Override."""
        raise NotImplementedError(f"{type(self).__name__} has no respond()")

    @endpoint("/run", while_wanted=True)
    async def run(self, call: Call, session: Session) -> Reply:
        """Run one rollout: seed the session, respond, verify. The bytes of the verdict are returned unchanged."""
        row, problem = read_row(call)
        if problem is not None:
            return problem
        rollout = self._rollout(call, row)
        try:
            await rollout.seed(call.body)
            answer = await self.respond(row["responses_create_params"], rollout)
            result = await self._verdict(_with_field(call.body, row, "response", answer), row, rollout)
        except HopFailed as failure:
            if "timeout" in (failure.kind, failure.cause.get("kind")):  # noticed here, or a moment before by the hop
                failure.add_detail(f"after {rollout.calls('model')} model calls and {rollout.calls('tool')} tool calls")
            raise
        cookies = {**rollout.model_cookies, **rollout.resources_cookies}
        return Reply(200, result, cookies, rollout.headers())

    async def _verdict(self, body: bytes, row: dict[str, Any], rollout: Rollout) -> bytes:
        """The verdict on a row with its response; without verification, what NeMo Gym's own agents write then."""
        if not self.config.skip_verification:
            return (await rollout.verify(body)).body
        await rollout.leave()
        body = _with_field(body, row, "reward", self.config.skip_verification_reward)
        return _with_field(body, row, "verification_skipped", value=True)

    def _rollout(self, call: Call, row: dict[str, Any]) -> Rollout:
        rollout = Rollout(self.client, self.config, call)
        rollout.offered = offered_tools(row["responses_create_params"].get("tools"))
        return rollout

    @endpoint("/v1/responses", while_wanted=True)
    async def responses(self, call: Call, session: Session) -> Reply:
        """Run the agent like a model: from `responses_create_params` to the final response, without seed and verify."""
        params, problem = read_params(call)
        if problem is not None:
            return problem
        rollout = self._rollout(call, {"responses_create_params": params})
        if NO_TOOLS in call.cookies:
            rollout.offered = frozenset()
        reply = json_reply(await self.respond(params, rollout))
        reply.cookies = {**rollout.model_cookies, **rollout.resources_cookies}
        reply.headers.update(rollout.headers())
        return reply

    @endpoint("/v1/agent_sessions", uses_session=False)
    async def begin_session(self, call: Call, session: Session) -> Reply:
        """Begin the agent's part of an episode of an environment server (NeMo Gym 0.7)."""
        try:
            request = AgentSessionRequest.model_validate_json(call.body)
        except ValidationError as error:
            return invalid(error)
        return begin_agent_session(request, self.settings.peers.get(self.config.resources_server.name, ""))

    @endpoint("/v1/agent_sessions/close", uses_session=False)
    async def close_session(self, call: Call, session: Session) -> Reply:
        """Close that part, and return the cookies of the episode's resources session."""
        try:
            request = AgentSessionRequest.model_validate_json(call.body)
        except ValidationError as error:
            return invalid(error)
        return close_agent_session(request, call)

    @endpoint("/aggregate_metrics")
    async def aggregate_metrics(self, call: Call, session: Session) -> Reply:
        """Pass the verdicts of a run on to the resources server, which computes the metrics.

        Without verdicts (``skip_verification``) the agent computes the plain statistics itself.
        """
        if self.config.skip_verification:
            return baseline_reply(call)
        return await self.client.ask(
            self.config.resources_server.name, "/aggregate_metrics", call.body, deadline=call.deadline
        )


def _with_time_to_tell(deadline: float | None) -> float | None:
    """Slightly before the caller's deadline, so that the caller learns which hop was late."""
    if deadline is None:
        return None
    return deadline - min(1.0, 0.15 * max(0.0, deadline - time.monotonic()))


def _with_field(body: bytes, row: dict[str, Any], name: str, value: Any) -> bytes:
    """The row with one more field; spliced, so that the row is not encoded again."""
    if name in row:
        return exact_json.join_fields({**exact_json.split_fields(body), name: exact_json.dumps(value)})
    return body.rstrip()[:-1] + b',"%b":' % name.encode() + exact_json.dumps(value) + b"}"
