"""An answer that a model server has read is not read again by an agent in the same process."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from gymctl.server import Call, Client, Conversation, LocalTransport, ModelServer, Reply, Session
from gymctl.server.agent import AgentConfig, Rollout
from gymctl.server.responses import message, response
from gymctl.server.settings import Settings

KEY = "sk-0123456789abcdef"
CONFIG = AgentConfig.model_validate(
    {
        "resources_server": {"type": "resources_servers", "name": "none"},
        "model_server": {"type": "responses_api_models", "name": "model"},
    }
)


class SayingModel(ModelServer):
    """Says one text, and has read its own answer."""

    def __init__(self, text: str) -> None:
        settings = Settings("model", "responses_api_models", "saying", "127.0.0.1", 1, {"api_key": KEY})
        super().__init__(settings, Client(LocalTransport({})))
        self.answer = response("saying", [message(text)])

    async def responses_call(self, call: Call, session: Session) -> Reply:
        """The answer."""
        return Reply(body=orjson.dumps(self.answer), answer=self.answer)


def asked(model: SayingModel) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        rollout = Rollout(Client(LocalTransport({"model": model})), CONFIG, Call("/run"))
        return await rollout.model(Conversation({"input": "hello"}))

    return asyncio.run(run())


def test_the_answer_is_the_one_that_the_model_server_read() -> None:
    model = SayingModel("yes")
    assert asked(model) is model.answer


@pytest.mark.parametrize("text", [KEY, f"the key is {KEY}"])
def test_an_answer_with_a_key_of_the_server_is_read_from_its_masked_body(text: str) -> None:
    read = asked(SayingModel(text))
    assert read["output"][0]["content"][0]["text"] == text.replace(KEY, "****")
