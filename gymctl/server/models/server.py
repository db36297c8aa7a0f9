"""Model servers: Responses and Chat Completions, either from one method each or on raw bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from gymctl.config.vocabulary import ENDPOINT_PROBE, ServerKind
from gymctl.server.base import Server
from gymctl.server.calls.client import Client
from gymctl.server.endpoints import endpoint
from gymctl.server.kept_bodies import KeptBodies
from gymctl.server.message import Call, Reply, json_object, json_reply
from gymctl.server.sessions import Session
from gymctl.server.settings import Settings

_RESPONSES = "/v1/responses"


class ModelServer(Server):
    """A model behind OpenAI's two APIs.

    Override ``responses`` and ``chat_completions`` on parsed params; a pass-through overrides ``responses_call`` and
    ``chat_completions_call`` instead, and never parses what it only forwards.
    """

    kind: ClassVar[str] = ServerKind.MODEL.value
    stateless: ClassVar[bool] = True

    def __init__(self, settings: Settings, client: Client) -> None:
        super().__init__(settings, client)
        place = ("POST", _RESPONSES)
        route = self.endpoints[place]
        # a call of the Responses API may continue an earlier one
        self.endpoints[place] = replace(route, invoke=KeptBodies(self.most_body_mb).around(route.invoke))

    async def responses(self, params: dict[str, Any], session: Session) -> dict[str, Any]:
        """Create params of the Responses API to a Response."""
        raise NotImplementedError

    async def chat_completions(self, params: dict[str, Any], session: Session) -> dict[str, Any]:
        """Create params of Chat Completions to a completion."""
        raise NotImplementedError

    async def endpoint_problems(self) -> list[str]:
        """What keeps the endpoints that this server calls from answering, as sentences; override it to check them."""
        return []

    @endpoint(ENDPOINT_PROBE, method="GET", uses_session=False)
    async def endpoint_probe(self, call: Call, session: Session) -> Reply:
        """Test this server's endpoints now and return ``{"problems": [...]}``; ``gymctl up`` calls it once."""
        return json_reply({"problems": await self.endpoint_problems()})

    @endpoint(_RESPONSES)
    async def responses_call(self, call: Call, session: Session) -> Reply:
        """Answer a call of OpenAI's Responses API."""
        return await _on_params(call, session, self.responses)

    @endpoint("/v1/chat/completions")
    async def chat_completions_call(self, call: Call, session: Session) -> Reply:
        """Answer a call of OpenAI's Chat Completions API."""
        return await _on_params(call, session, self.chat_completions)


async def _on_params(call: Call, session: Session, method: Any) -> Reply:
    params = json_object(call.body)
    try:
        return json_reply(await method(params, session))
    except NotImplementedError:
        return json_reply({"detail": f"{call.path} is not offered by this model server"}, 501)
