"""``azure_openai_model`` against an endpoint of our own on the loopback interface."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import web
from model_endpoint import Endpoint, serving, status
from service_stack import open_stack, post, service

from gymctl.server import Reply

pytestmark = pytest.mark.enable_socket

CONFIG = service("responses_api_models", "azure_openai_model") / "configs" / "azure_openai_model.yaml"
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
COMPLETION = orjson.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "<think> a"}}],
        "usage": USAGE,
    }
)


def ask(endpoint: Endpoint, params: Any, path: str = "/v1/responses", base: str = "", **settings: Any) -> Reply:
    async def work() -> Reply:
        async with serving(endpoint) as address:
            fields = {
                "openai_base_url": address + base,
                "openai_api_key": "azure-key",
                "openai_model": "my deployment",
                "default_query": {"api-version": "2024-10-21"},
                "max_retries": 0,
                **settings,
            }
            async with open_stack(CONFIG, policy_model=fields) as servers:
                return await post(servers["policy_model"], path, params)

    return asyncio.run(work())


def test_responses_go_to_the_deployments_chat() -> None:
    endpoint = Endpoint(COMPLETION)
    reply = ask(endpoint, {"input": "u", "max_output_tokens": 9}, extra_body={"seed": 1})
    path, headers, body = endpoint.seen[0]
    assert path == "/openai/deployments/my deployment/chat/completions"
    assert headers["api-key"] == "azure-key" and "Authorization" not in headers
    assert orjson.loads(body) == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "u"}]}],
        "max_completion_tokens": 9,
        "seed": 1,
        "model": "my deployment",
    }
    answer = reply.json()
    assert answer["output"][0]["content"][0]["text"] == "<think> a"
    assert answer["usage"]["input_tokens_details"] == {"cached_tokens": 4}
    assert answer["usage"]["output_tokens_details"] == {"reasoning_tokens": 3}
    assert answer["usage"]["total_tokens"] == 14


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("/", "/openai/deployments/my deployment"),
        ("/gateway", "/gateway/openai/deployments/my deployment"),
        ("/openai/v1", "/openai/v1"),
        ("/openai/deployments/other", "/openai/deployments/other"),
    ],
)
def test_the_address_of_a_deployment(base: str, path: str) -> None:
    endpoint = Endpoint(COMPLETION)
    ask(endpoint, {"input": "u"}, base=base)
    assert endpoint.seen[0][0] == f"{path}/chat/completions"


def test_the_api_version_is_sent() -> None:
    queries: list[dict[str, str]] = []

    async def keep(request: web.Request) -> web.Response:
        queries.append(dict(request.query))
        return web.Response(body=COMPLETION)

    ask(Endpoint(keep), {"input": "u"})
    assert queries == [{"api-version": "2024-10-21"}]


def test_chat_completions_are_passed_on() -> None:
    endpoint = Endpoint(COMPLETION)
    reply = ask(endpoint, {"messages": [], "model": "x"}, "/v1/chat/completions")
    assert reply.body == COMPLETION
    assert orjson.loads(endpoint.seen[0][2]) == {"messages": [], "model": "my deployment"}


@pytest.mark.parametrize("name", ["num_concurrent_requests", "max_concurrent_requests"])
def test_so_many_calls_at_one_time(name: str) -> None:
    now, most = 0, 0

    async def slow(request: web.Request) -> web.Response:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.02)
        now -= 1
        return web.Response(body=COMPLETION)

    async def work() -> None:
        async with serving(Endpoint(slow)) as address:
            fields = {"openai_base_url": address, "openai_api_key": "k", "openai_model": "m", name: 2}
            async with open_stack(CONFIG, policy_model=fields) as servers:
                calls = (post(servers["policy_model"], "/v1/responses", {"input": "u"}) for _ in range(6))
                assert {reply.status for reply in await asyncio.gather(*calls)} == {200}

    asyncio.run(work())
    assert most == 2


def test_failures_are_told_and_a_full_context_is_incomplete() -> None:
    reply = ask(Endpoint(status(401, "wrong key")), {"input": "u"})
    assert (reply.status, reply.json()["cause"]["status"], reply.json()["cause"]["body"]) == (502, 401, "wrong key")
    assert "azure-key" not in reply.body.decode()
    reply = ask(Endpoint(status(400, '{"error":{"code":"context_length_exceeded"}}')), {"input": "u"})
    assert reply.json()["incomplete_details"]["reason"] == "max_output_tokens"
    for answer in (b"{}", b"{nonsense"):
        assert ask(Endpoint(answer), {"input": "u"}).status == 502
    assert ask(Endpoint(COMPLETION), {"input": "u", "tools": [{"type": "mcp"}]}).status == 422
