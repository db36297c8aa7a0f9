"""Calls of the head that replace the endpoints of model servers, show them, and wait for newer ones."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from pydantic import ValidationError

from gymctl.server.endpoints import invalid
from gymctl.server.message import Call, Reply, json_reply
from gymctl.server.models.policy_lists import PolicyChange, PolicyLists, Question

_POLICY_MODEL = "policy_model"


class PolicyCalls:
    """The calls. ``token`` is what a caller must show to replace or to see lists; without one, nothing is replaced."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode() if token else b""
        self._lists = PolicyLists(token)

    async def set(self, call: Call, servers: Sequence[str]) -> Reply:
        """Replace the list of one of ``servers``; the reply comes when all its processes use it."""
        refusal = self._refusal(call)
        if refusal is not None:
            return refusal
        try:
            change = PolicyChange.model_validate_json(call.body)
        except ValidationError as error:
            return invalid(error)
        if change.server is None and len(servers) == 1:
            name = servers[0]
        else:
            name = change.server or _POLICY_MODEL
        if name not in servers:
            known = ", ".join(servers) or "none"
            return json_reply({"detail": f"the endpoints of {name} cannot be set; those of {known} can"}, 422)
        return json_reply(await self._lists.change(name, change))

    def show(self, call: Call) -> Reply:
        """The lists that were set."""
        return self._refusal(call) or json_reply(self._lists.show())

    async def watch(self, call: Call, servers: Sequence[str]) -> Reply:
        """The list of a model server, as soon as it is newer than the caller's."""
        try:
            question = Question.model_validate_json(call.body)
        except ValidationError as error:
            return invalid(error)
        if not self._expected or question.server not in servers:
            return json_reply({"detail": f"the endpoints of {question.server} cannot be set"}, 404)
        return json_reply(await self._lists.newer(question))

    def _refusal(self, call: Call) -> Reply | None:
        """The reply to a call without the token."""
        if not self._expected:
            return json_reply({"detail": "this stack has no model server whose endpoints can be set"}, 403)
        if hmac.compare_digest((call.header("authorization") or "").encode(), self._expected):
            return None
        return json_reply({"detail": "the policy token is missing or wrong; send it as Authorization: Bearer"}, 401)
