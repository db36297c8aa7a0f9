"""A model behind vLLM, or anything that speaks Chat Completions: Responses in front, with token ids for training."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import AliasChoices, Field, model_validator
from vllm_requests import encoded_messages, names_audio, object_in_metadata, split_params

from gymctl.config import exact_json
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
from gymctl.server.chat import (
    AUDIO_KEYS,
    ChatMessages,
    GrowingConversations,
    NoTokenIdsError,
    Style,
    ask_for_token_ids,
    audio_uris,
    check_training_fields,
    fold_reasoning,
    generated,
    input_messages,
    only_thought,
    parameters_of,
    prepare_messages,
    prompt_ids,
    put_audio_in,
    reasoning_of,
    response_of,
    stopped,
)
from gymctl.server.message import json_object
from gymctl.server.models.context_limits import exceeds_context
from gymctl.server.models.endpoint import Provider, ProviderConfig
from gymctl.server.models.endpoint_probe import RESPONSES, endpoint_problems
from gymctl.server.models.growing_requests import GrowingRequests
from gymctl.server.models.weight_version import weight_version_of, with_weight_version

CHAT = "chat/completions"
_OF_THE_PROMPT = ("model", "messages", "tools", "chat_template_kwargs")
# What changes a conversation or an answer cannot be had where neither is looked at.
_NATIVE_NEEDS = {
    "return_token_id_information": False,
    "replace_developer_role_with_system": False,
    "sequential_reasoning_allowed": True,
}
_PARSED = (
    "the endpoint parses reasoning, and uses_reasoning_parser is false: set it to true, or start the endpoint without "
    "--reasoning-parser"
)


class VLLMConfig(ProviderConfig):
    """The endpoints, the conversion for their model, and the fields of every request."""

    base_url: EndpointUrl | Annotated[list[EndpointUrl], Field(min_length=1)]
    """Base URL of the API, or a list for interchangeable endpoints; the server appends the path of each call."""
    api_key: ApiKey
    """API key of the endpoint."""
    model: str = Field(validation_alias=AliasChoices("model_name", "model"))
    """Name of the model."""
    return_token_id_information: bool = False
    """Whether replies contain the ids and log probabilities of their tokens, for training."""
    uses_reasoning_parser: bool = True
    """Whether reasoning is separated from the answer; if false, it stays in the text."""
    uses_interleaved_reasoning: bool = True
    """Whether calls include the reasoning of earlier turns."""
    sequential_reasoning_allowed: bool = True
    """Whether the model may be called again after a turn that contains only reasoning; if false, such a call ends the
    rollout (`incomplete`, `content_filter`)."""
    replace_developer_role_with_system: bool = False
    """Whether developer messages are sent as system messages."""
    is_responses_native: bool = False
    """Whether the endpoint itself has the Responses API, so that requests are passed on unchanged."""
    chat_template_kwargs: dict[str, Any] | None = None
    """Arguments of the model's chat template."""
    extra_body: dict[str, Any] | None = None
    """Fields that are added to the body of every call."""
    default_headers: dict[str, HeaderText] = Field(default_factory=dict)
    """Headers of every call."""
    audio_root: str | None = None
    """Directory that the paths of audio in rows are relative to."""

    @model_validator(mode="after")
    def _possible(self) -> VLLMConfig:
        if self.is_responses_native:
            for name, needed in _NATIVE_NEEDS.items():
                if getattr(self, name) != needed:
                    raise ValueError(f"is_responses_native requires {name}: {str(needed).lower()}")
        return self


class VLLMModel(ModelServer):
    """Both APIs end in one call of Chat Completions; ``is_responses_native`` passes Responses on instead."""

    config: VLLMConfig

    async def startup(self) -> None:
        """Prepare what every call uses."""
        config = self.config
        self._style = Style(
            reasoning_parser=config.uses_reasoning_parser,
            interleaved=config.uses_interleaved_reasoning,
            developer_as_system=config.replace_developer_role_with_system,
            token_ids=config.return_token_id_information,
        )
        self._requests = GrowingRequests()
        self._conversations = GrowingConversations(self._style)
        if isinstance(config.base_url, str):
            urls = [config.base_url]
        else:
            urls = config.base_url
        key = {"authorization": f"Bearer {config.api_key}"}
        self._provider = Provider(self, urls, key, config.default_headers, address=api_address)

    async def shutdown(self) -> None:
        """Close the pooled connections."""
        await self._provider.close()

    async def endpoint_problems(self) -> list[str]:
        """What keeps the endpoints from answering, as sentences."""
        if self.config.is_responses_native:
            converting = "set is_responses_native: false"
            return await endpoint_problems(self._provider, self.config.model, RESPONSES, chat_server=converting)
        return await endpoint_problems(self._provider, self.config.model, CHAT)

    async def responses_call(self, call: Call, session: Session) -> Reply:
        """Create params of the Responses API to a Response."""
        if self.config.is_responses_native:
            return await self._native(json_object(call.body), call, session)
        params, items = split_params(call.body, self._requests.read(session.cookie, call.body, call.kept))
        request = parameters_of(params)
        messages = await self._messages(params, items, request, session)
        announced = self._provider.weight_version  # before the call: it may change while that is under way
        completion = await self._complete(request, messages, self._until(call), session)
        response = response_of(completion, params, self.config.model, self._style)
        return json_reply(with_weight_version(response, weight_version_of(completion) or announced))

    async def _messages(
        self, params: dict[str, Any], items: bytes, request: dict[str, Any], session: Session
    ) -> ChatMessages:
        """The messages of create params; of an input that has grown since the session's last call, only what is new."""
        try:
            if not (params.get("instructions") or names_audio(request) or not items.startswith(b"[")):
                return self._conversations.convert(session.cookie, items)
            params["input"] = exact_json.loads(items)
        except ValueError as error:
            raise RefusedError((), f"JSON decode error: {error}", "json_invalid") from error
        messages = input_messages(params, self._style)
        await self._add_audio(request, messages)
        return encoded_messages(messages)

    async def chat_completions_call(self, call: Call, session: Session) -> Reply:
        """Chat Completions, with reasoning as ``<think>`` in the text, and the training fields on the message."""
        request = json_object(call.body)
        if request.get("stream"):
            raise RefusedError(("stream",), "streaming is not supported; remove it")
        messages = request.get("messages")
        if not isinstance(messages, list) or not messages:
            raise RefusedError(("messages",), "Input should be a list of messages", "missing")
        prepare_messages(messages, self._style)
        await self._add_audio(request, messages)
        completion = await self._complete(request, encoded_messages(messages), self._until(call), session)
        for choice in completion["choices"]:
            fold_reasoning(choice["message"])
        return json_reply(completion)

    async def _complete(
        self, request: dict[str, Any], messages: ChatMessages, until: float, session: Session
    ) -> dict[str, Any]:
        """The completion of a request whose messages are in the endpoint's format."""
        if not self.config.sequential_reasoning_allowed and only_thought(messages.last):
            return stopped(self.config.model, "content_filter", "reasoning without an answer cannot be continued")
        request = self._filled_in(request)
        # A call of /tokenize needs the same bytes again.
        request["messages"] = orjson.Fragment(messages.json)
        try:
            answer = await self._post(CHAT, request, until, session)
        except HopFailed as failed:
            if exceeds_context(failed.status, failed.body, request):
                return stopped(self.config.model, "length", failed.body)
            raise
        choice = answer["choices"][0]
        if not self.config.uses_reasoning_parser and reasoning_of(choice["message"]):
            raise HopFailed(self.name, f"/v1/{CHAT}", status=200, body=_PARSED)
        if self.config.return_token_id_information:
            await self._add_token_ids(answer, choice, request, until, session)
        return answer

    def _filled_in(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request with what the configuration and the row's metadata add to it."""
        config = self.config
        metadata = request.get("metadata") or {}
        template = {**(config.chat_template_kwargs or {}), **object_in_metadata(metadata, "chat_template_kwargs")}
        extra = {**(config.extra_body or {}), **object_in_metadata(metadata, "extra_body")}
        if template:
            request["chat_template_kwargs"] = template
        request = {**extra, **request, "model": config.model}
        if config.return_token_id_information:
            ask_for_token_ids(request)
        elif request.get("top_logprobs", 0) is None:
            del request["top_logprobs"]  # null means no log-probs at all to vLLM
        return request

    async def _add_audio(self, request: dict[str, Any], messages: list[dict[str, Any]]) -> None:
        if not names_audio(request):
            return
        metadata = request["metadata"]
        put_audio_in(messages, await asyncio.to_thread(audio_uris, metadata, self.config.audio_root))
        request["metadata"] = {name: value for name, value in metadata.items() if name not in AUDIO_KEYS}
        if not request["metadata"]:
            del request["metadata"]

    async def _add_token_ids(
        self, answer: dict[str, Any], choice: dict[str, Any], request: Mapping[str, Any], until: float, session: Session
    ) -> None:
        """Put the training fields on the message, and take what they are made of away."""
        try:
            if "prompt_token_ids" in choice["message"]:
                check_training_fields(choice["message"])
                return
            ids, logprobs = generated(choice)
        except NoTokenIdsError as error:
            raise HopFailed(self.name, f"/v1/{CHAT}", status=200, body=str(error)) from error
        prompt = prompt_ids(answer)
        if prompt is None:
            prompt = await self._tokenized(request, until, session)
        choice["message"].update(prompt_token_ids=prompt, generation_token_ids=ids, generation_log_probs=logprobs)
        choice.pop("logprobs", None)
        choice.pop("token_ids", None)
        answer.pop("prompt_token_ids", None)

    async def _tokenized(self, request: Mapping[str, Any], until: float, session: Session) -> list[int]:
        prompt_fields = {name: request[name] for name in _OF_THE_PROMPT if name in request}
        ids = (await self._post("../tokenize", prompt_fields, until, session)).get("tokens")
        if not isinstance(ids, list):
            raise HopFailed(self.name, "/tokenize", status=200, body="the answer has no list of tokens")
        return ids

    async def _native(self, params: dict[str, Any], call: Call, session: Session) -> Reply:
        template = self.config.chat_template_kwargs
        if template:
            own = {"chat_template_kwargs": template}
        else:
            own = {}
        request = {**(self.config.extra_body or {}), **params, **own, "model": self.config.model}
        try:
            answer = await self._provider.post(
                "responses", exact_json.dumps(request), session=session.id, deadline=call.deadline
            )
        except HopFailed as failed:
            if not exceeds_context(failed.status, failed.body, request):
                raise
            completion = stopped(self.config.model, "length", failed.body)
            return json_reply(response_of(completion, params, self.config.model, self._style))
        return Reply(body=answer.body)

    async def _post(self, path: str, value: Mapping[str, Any], until: float, session: Session) -> dict[str, Any]:
        answer = await self._provider.post(path, exact_json.dumps(value), session=session.id, deadline=until)
        return answer.value

    def _until(self, call: Call) -> float:
        return call.deadline or time.monotonic() + self.config.timeout_seconds


def api_address(url: str) -> str:
    """Where an endpoint has its API: below ``/v1`` where its address has no path."""
    if urlsplit(url).path.strip("/"):
        return url
    return f"{url.rstrip('/')}/v1"


if __name__ == "__main__":
    VLLMModel.serve()
