"""A model deployed on Azure OpenAI: Chat Completions of one deployment, served as Responses too."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import AliasChoices, Field

from gymctl.config import exact_json
from gymctl.server import ApiKey, Call, EndpointUrl, HeaderText, HopFailed, ModelServer, Reply, Session, json_reply
from gymctl.server.chat import Style, request_of, response_of, stopped
from gymctl.server.message import json_object
from gymctl.server.models.answers import Answer
from gymctl.server.models.context_limits import exceeds_context
from gymctl.server.models.endpoint import Provider, ProviderConfig
from gymctl.server.models.endpoint_probe import endpoint_problems

CHAT = "chat/completions"
_STYLE = Style(reasoning_parser=False)  # Azure's models keep their reasoning to themselves
_VERSIONED = ("openai", "deployments")  # an address with one of these in its path is complete


class AzureConfig(ProviderConfig):
    """The deployment, and what every request to it carries."""

    openai_base_url: EndpointUrl
    """Base URL of the API; the server appends the path of each call."""
    openai_api_key: ApiKey
    """API key of the endpoint."""
    openai_model: str = Field(validation_alias=AliasChoices("model_name", "model", "openai_model"))
    """Name of the model deployment."""
    default_query: dict[str, str] = Field(default_factory=dict)
    """Query parameters of every call, such as `api-version`."""
    max_concurrent_requests: int | None = Field(
        default=None, ge=1, validation_alias=AliasChoices("max_concurrent_requests", "num_concurrent_requests")
    )
    """Maximum number of concurrent calls to the endpoint; unlimited by default."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Fields that are added to the body of every call."""
    openai_default_headers: dict[str, HeaderText] = Field(default_factory=dict)
    """Headers of every call."""


class AzureOpenAIModel(ModelServer):
    """Both APIs end in one call of the deployment's Chat Completions."""

    config: AzureConfig

    async def startup(self) -> None:
        """Prepare what every call uses."""
        config = self.config
        key = {"api-key": config.openai_api_key}
        self._provider = Provider(
            self,
            [config.openai_base_url],
            key,
            config.openai_default_headers,
            query=config.default_query,
            address=lambda url: deployment_address(url, config.openai_model),
        )

    async def shutdown(self) -> None:
        """Close the pooled connections."""
        await self._provider.close()

    async def endpoint_problems(self) -> list[str]:
        """What keeps the deployment from answering, as sentences."""
        return await endpoint_problems(self._provider, self.config.openai_model, CHAT)

    async def responses_call(self, call: Call, session: Session) -> Reply:
        """Create params of the Responses API to a Response."""
        params = json_object(call.body)
        completion = (await self._complete(request_of(params, _STYLE), call, session)).value
        return json_reply(response_of(completion, params, self.config.openai_model, _STYLE))

    async def chat_completions_call(self, call: Call, session: Session) -> Reply:
        """Chat Completions, passed on."""
        return Reply(body=(await self._complete(json_object(call.body), call, session)).body)

    async def _complete(self, request: dict[str, Any], call: Call, session: Session) -> Answer:
        """The deployment's completion; one without words when the conversation does not fit into the context."""
        try:
            return await self._post(request, call, session)
        except HopFailed as failed:
            if not exceeds_context(failed.status, failed.body, request):
                raise
            completion = stopped(self.config.openai_model, "length", failed.body)
            return Answer(completion, exact_json.dumps(completion))

    async def _post(self, request: dict[str, Any], call: Call, session: Session) -> Answer:
        body = {**self.config.extra_body, **request, "model": self.config.openai_model}
        if "max_tokens" in request:  # Azure's reasoning models know only the newer name, all others both
            body["max_completion_tokens"] = body.pop("max_tokens")
        return await self._provider.post(CHAT, exact_json.dumps(body), session=session.id, deadline=call.deadline)


def deployment_address(base_url: str, deployment: str) -> str:
    """Where a deployment answers: a resource's address gets Azure's path, one with such a path is used as it is."""
    parts = urlsplit(base_url).path.split("/")
    if any(part in parts for part in _VERSIONED):
        return base_url
    return f"{base_url.rstrip('/')}/openai/deployments/{quote(deployment, safe='')}"


if __name__ == "__main__":
    AzureOpenAIModel.serve()
