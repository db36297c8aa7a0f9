"""A conversation that grows: the model server reads all of it, however little of it travels."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gymctl.server import Call, Client, Conversation, ModelServer, Reply, Session
from gymctl.server.agent import AgentConfig, Rollout
from gymctl.server.kept_bodies import KEEP, LEAST_BYTES, KeptBodies, is_not_kept, kept_name
from gymctl.server.message import CONVERSATION_HEADER
from gymctl.server.responses import message, response
from gymctl.server.settings import Settings

LONG = "x" * LEAST_BYTES
CONFIG = AgentConfig.model_validate(
    {
        "resources_server": {"type": "resources_servers", "name": "none"},
        "model_server": {"type": "responses_api_models", "name": "model"},
    }
)


class ReadingModel(ModelServer):
    """Answers every call, and remembers what it read."""

    def __init__(self) -> None:
        super().__init__(Settings("model", "responses_api_models", "reading", "127.0.0.1", 1, {}), Client(Ways([])))
        self.read: list[bytes] = []

    async def responses_call(self, call: Call, session: Session) -> Reply:
        """The same answer to everything."""
        self.read.append(call.body)
        return Reply(body=orjson.dumps(response("reading", [message("yes")])))


class UpstreamModel(ReadingModel):
    """A server that knows nothing of kept bodies, as NeMo Gym's."""

    async def handle(self, call: Call) -> Reply:
        """The reply to the body as it came."""
        return await self.responses_call(call, self.sessions.open(None))


class Ways:
    """A way to one of several servers, which all are the server ``model``: one for each call, in turn."""

    def __init__(self, servers: Sequence[ModelServer]) -> None:
        self.servers = list(servers)
        self.sent: list[int] = []

    async def send(self, server: str, call: Call) -> Reply:
        """The reply of the next server."""
        self.sent.append(len(call.body))
        self.servers.append(self.servers.pop(0))
        return await self.servers[-1].handle(call)

    async def close(self) -> None:
        """Nothing is held."""


def said(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def converse(ways: Ways, texts: Sequence[Sequence[str]]) -> list[bytes]:
    """The whole bodies of a conversation with a call after each group of items that was added."""

    async def run() -> list[bytes]:
        rollout = Rollout(Client(ways), CONFIG, Call("/run"))
        conversation = Conversation({"input": [said(LONG)], "temperature": 0.5})
        expected = []
        for group in texts:
            conversation.add(said(text) for text in group)
            expected.append(conversation.body)
            assert (await rollout.model(conversation))["output"]
        assert rollout.calls("model") == len(texts)
        return expected

    return asyncio.run(run())


TEXTS = st.lists(st.lists(st.text(max_size=20), max_size=3), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS)
def test_what_the_server_reads_is_the_whole_conversation(texts: list[list[str]]) -> None:
    model = ReadingModel()
    ways = Ways([model])
    assert model.read == converse(ways, texts)[: len(model.read)]
    assert len(ways.sent) == len(texts)
    assert max(ways.sent[1:], default=0) < 1000


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, servers=st.integers(2, 3))
def test_a_server_that_has_not_kept_it_is_sent_all_of_it(texts: list[list[str]], servers: int) -> None:
    models = [ReadingModel() for _ in range(servers)]
    expected = converse(Ways(models), texts)
    assert sorted(body for model in models for body in model.read) == sorted(expected)


def test_a_server_of_nemo_gym_gets_the_whole_conversation_each_time() -> None:
    model = UpstreamModel()
    assert model.read == converse(Ways([model]), [["a"], ["b"], ["c"]])[:3]
    assert len(model.read) == 3


def test_a_short_conversation_is_not_kept() -> None:
    model = ReadingModel()

    async def run() -> str:
        rollout = Rollout(Client(Ways([model])), CONFIG, Call("/run"))
        conversation = Conversation({"input": "hello"})
        await rollout.model(conversation)
        return conversation.continues

    assert asyncio.run(run()) == ""


async def _echo(call: Call, session: Session) -> Reply:
    return Reply(body=call.body)


def _session() -> Session:
    return ReadingModel().sessions.open(None)


@pytest.mark.parametrize(
    "header",
    ["continue", "continue  5", "continue {name}", "continue {name} -1", "continue {name} 6", "continue {name} x",
     "continue other 5", "resume {name} 5", "continue 0123456789abcdef 0", "keep it"],
)  # fmt: skip
def test_a_call_that_continues_nothing_is_not_answered(header: str) -> None:
    async def run() -> Reply:
        answer = KeptBodies(1.0).around(_echo)
        name = kept_name(await answer(Call("/v1/responses", b"12345", conversation=KEEP), _session()))
        return await answer(Call("/v1/responses", b"678", conversation=header.format(name=name)), _session())

    reply = asyncio.run(run())
    assert (is_not_kept(reply), reply.body) == (True, b"")


def test_a_whole_body_has_the_limit_of_a_request() -> None:
    async def run() -> Reply:
        answer = KeptBodies(most_mb=1.0).around(_echo)
        name = kept_name(await answer(Call("/v1/responses", bytes(900_000), conversation=KEEP), _session()))
        more = Call("/v1/responses", bytes(200_000), conversation=f"continue {name} 900000")
        return await answer(more, _session())

    assert is_not_kept(asyncio.run(run()))


def test_what_is_kept_has_a_bound() -> None:
    kept = KeptBodies(256.0)

    async def run() -> None:
        answer = kept.around(_echo)
        for _ in range(100):
            reply = await answer(Call("/v1/responses", bytes(2_000_000), conversation=KEEP), _session())
            assert reply.headers[CONVERSATION_HEADER]

    asyncio.run(run())
    assert kept._bodies.currsize <= 64 << 20
