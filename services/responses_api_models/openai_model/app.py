"""Passes calls on to an endpoint that speaks the OpenAI API, with bodies touched as little as possible.

Only the top level of a request is read (msgspec keeps each value as the bytes it came in). A reply is read to see that
it is an answer; its bytes are passed on as they came, unless something in it has another shape than the API's.
"""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import AliasChoices, Field

from gymctl.server import (
    ApiKey,
    Call,
    EndpointUrl,
    HeaderText,
    HopFailed,
    ModelServer,
    RefusedError,
    Reply,
    Session,
    json_reply,
)
from gymctl.server.chat import Style, response_of, stopped
from gymctl.server.models.context_limits import LIMITS_OF_OUTPUT, exceeds_context
from gymctl.server.models.endpoint import Provider, ProviderConfig
from gymctl.server.models.endpoint_probe import RESPONSES, endpoint_problems
from gymctl.server.models.growing_requests import GrowingRequest, GrowingRequests


class OpenAIConfig(ProviderConfig):
    """The endpoint, and what every request to it carries."""

    openai_base_url: EndpointUrl
    """Base URL of the API; the server appends the path of each call."""
    openai_api_key: ApiKey
    """API key of the endpoint."""
    openai_model: str = Field(validation_alias=AliasChoices("model_name", "model", "openai_model"))
    """Name of the model."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Fields that are added to the body of every call."""
    openai_default_headers: dict[str, HeaderText] = Field(default_factory=dict)
    """Headers of every call."""
    drop_input_reasoning_items: bool = False
    """Whether calls omit the reasoning of earlier turns."""


class OpenAIModel(ModelServer):
    """Both APIs are one path through: put ``model`` in, send, hand the answer's bytes back."""

    config: OpenAIConfig

    async def startup(self) -> None:
        """Prepare what every call uses: the pooled session, and the fields to put in (encoded once)."""
        config = self.config
        self._growing = GrowingRequests()
        self._decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self._defaults = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in config.extra_body.items()}
        self._forced = {"model": msgspec.Raw(msgspec.json.encode(config.openai_model))}
        headers = {"authorization": f"Bearer {config.openai_api_key}"}
        self._provider = Provider(self, [config.openai_base_url], headers, config.openai_default_headers)

    async def shutdown(self) -> None:
        """Close the pooled connections."""
        await self._provider.close()

    async def endpoint_problems(self) -> list[str]:
        """What keeps the endpoint from answering, as sentences."""
        return await endpoint_problems(
            self._provider, self.config.openai_model, RESPONSES, chat_server="use vllm_model, which converts"
        )

    async def responses_call(self, call: Call, session: Session) -> Reply:
        """Pass a Responses API call on."""
        return await self._pass_on(call, session, "responses", self.config.drop_input_reasoning_items)

    async def chat_completions_call(self, call: Call, session: Session) -> Reply:
        """Pass a Chat Completions call on."""
        return await self._pass_on(call, session, "chat/completions")

    async def _pass_on(self, call: Call, session: Session, path: str, drop_reasoning: bool = False) -> Reply:
        growing = None if drop_reasoning else self._growing.read(session.cookie, call.body, call.kept)
        try:
            request, body = self._request(call.body, growing, drop_reasoning=drop_reasoning)
        except msgspec.DecodeError as error:
            raise RefusedError((), f"expected a JSON object: {error}", "json_invalid") from error
        try:
            answer = await self._provider.post(path, body, session=session.id, deadline=call.deadline, growing=growing)
        except HopFailed as failed:
            limits = {name: msgspec.json.decode(request[name]) for name in LIMITS_OF_OUTPUT if name in request}
            if not exceeds_context(failed.status, failed.body, limits):
                raise
            return json_reply(self._out_of_context(path, failed.body))
        return Reply(body=answer.body, answer=answer.value)

    def _request(
        self, body: bytes, growing: GrowingRequest | None, *, drop_reasoning: bool
    ) -> tuple[dict[str, msgspec.Raw], bytes]:
        """The fields of the request to the endpoint, of a growing one without ``input``, and its body.

        Raises:
            msgspec.DecodeError: the body of the call is not a JSON object.
        """
        if growing is not None:
            request = {**self._defaults, **growing.fields, **self._forced}
            request.pop("input", None)
            return request, growing.with_fields(request)
        request = {**self._defaults, **self._decode(body), **self._forced}
        if drop_reasoning and "input" in request:
            request["input"] = without_reasoning(request["input"])
        return request, msgspec.json.encode(request)

    def _out_of_context(self, path: str, detail: str) -> dict[str, Any]:
        """The answer to a conversation that does not fit into the context: one without words, cut short."""
        completion = stopped(self.config.openai_model, "length", detail)
        if path != "responses":
            return completion
        return response_of(completion, {}, self.config.openai_model, Style())


class Item(msgspec.Struct):
    """The field of an input item that identifies reasoning."""

    type: str = "message"


def without_reasoning(items: msgspec.Raw) -> msgspec.Raw:
    """An ``input`` without its reasoning items, for an endpoint that does not know another's ``rs_`` ids."""
    if bytes(items)[:1] != b"[":
        return items
    others = [
        item for item in msgspec.json.decode(items, type=list[msgspec.Raw])
        if msgspec.json.decode(item, type=Item).type != "reasoning"
    ]  # fmt: skip
    return msgspec.Raw(msgspec.json.encode(others))


if __name__ == "__main__":
    OpenAIModel.serve()
