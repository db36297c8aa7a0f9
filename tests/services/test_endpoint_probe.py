"""What a model server finds out about its endpoint: servers of ours in front of endpoints that are wrong in one way."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web
from service_stack import open_stack, service

from gymctl.server import Call

pytestmark = pytest.mark.enable_socket

MODELS = {"object": "list", "data": [{"id": "a"}, {"id": "b"}]}
UNKNOWN = {"error": {"message": "The model `x` does not exist", "type": "NotFoundError", "code": 404}}
ANSWER = {"choices": [{"message": {"content": "a"}, "finish_reason": "length"}]}

Replies = Mapping[str, tuple[int, Any]]
"""Status and body by method and path; all else is 404."""


def settings(implementation: str, address: str, model: str) -> dict[str, Any]:
    if implementation == "vllm_model":
        return {"base_url": address, "api_key": "sk-test", "model": model}
    return {"openai_base_url": address, "openai_api_key": "sk-test", "openai_model": model}


async def _probe(implementation: str, address: str, model: str, **more: Any) -> list[str]:
    path = service("responses_api_models", implementation) / "configs" / f"{implementation}.yaml"
    fields = {**settings(implementation, address, model), **more}
    async with open_stack(path, policy_model=fields) as servers:
        reply = await servers["policy_model"].handle(Call("/endpoint_probe", b"", "GET"))
        assert reply.status == 200
        return list(json.loads(reply.body)["problems"])


def probe(replies: Replies, implementation: str, model: str = "a", base: str = "/v1", **more: Any) -> list[str]:
    """The problems that a server finds at an endpoint with these replies; its address becomes ``URL``."""

    async def answer(request: web.Request) -> web.Response:
        status, body = replies.get(f"{request.method} {request.path}", (404, {"detail": "Not Found"}))
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers={"location": "https://new.test/v1"})

    async def work() -> list[str]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(application, shutdown_timeout=0.05)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            problems = await _probe(implementation, f"{url}{base}", model, **more)
        finally:
            await runner.cleanup()
        return [problem.replace(url, "URL") for problem in problems]

    return asyncio.run(work())


LISTED = {"GET /v1/models": (200, MODELS)}
CHAT = {"POST /v1/chat/completions": (400, {"error": {"message": "messages is required"}})}
BOTH = {**LISTED, **CHAT, "POST /v1/responses": (400, {"error": {"message": "input is required"}})}
REFUSED = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}


@pytest.mark.parametrize(
    ("implementation", "replies"),
    [
        ("openai_model", BOTH),
        ("vllm_model", BOTH),
        ("vllm_model", {**LISTED, **CHAT}),
        # not all that an endpoint serves is on its list: a small call decides
        ("vllm_model", {"GET /v1/models": (200, {"data": []}), "POST /v1/chat/completions": (200, ANSWER)}),
        ("vllm_model", {"GET /v1/models": (403, {"error": "scope"}), "POST /v1/chat/completions": (200, ANSWER)}),
        ("vllm_model", {"POST /v1/chat/completions": (200, ANSWER)}),
        ("vllm_model", {"POST /v1/chat/completions": (400, {"error": {"message": "max_completion_tokens"}})}),
        ("vllm_model", {"GET /v1/models": (200, "<html>"), "POST /v1/chat/completions": (200, ANSWER)}),
        ("vllm_model", {"GET /v1/models": (200, {"data": [1, {"id": 2}, {}]}), **CHAT, **LISTED}),
        ("azure_openai_model", {"POST /v1/openai/deployments/a/chat/completions": (200, ANSWER)}),
    ],
)
def test_an_endpoint_that_answers_has_no_problem(implementation: str, replies: Replies) -> None:
    assert probe(replies, implementation) == []


@pytest.mark.parametrize(
    ("implementation", "replies", "model", "problem"),
    [
        (
            *("openai_model", {**LISTED, **CHAT}, "a"),
            "URL/v1 speaks Chat Completions only; use vllm_model, which converts",
        ),
        (
            *("openai_model", {**LISTED, "POST /v1/chat/completions": (200, ANSWER)}, "x"),
            "no model 'x'; it serves a, b",
        ),
        ("openai_model", {**LISTED, "POST /v1/responses": (404, UNKNOWN)}, "x", "no model 'x'; it serves a, b"),
        ("vllm_model", {**LISTED, "POST /v1/chat/completions": (404, UNKNOWN)}, "x", "no model 'x'; it serves a, b"),
        ("vllm_model", {**LISTED, "POST /v1/chat/completions": (400, UNKNOWN)}, "x", "no model 'x'; it serves a, b"),
        (
            *("vllm_model", {"POST /v1/chat/completions": (404, {"error": {"message": "no x", "param": "model"}})}),
            *("x", "no model 'x': no x"),
        ),
        (
            *("openai_model", {"GET /v1/models": (401, REFUSED), "POST /v1/responses": (401, REFUSED)}, "a"),
            "401: the key is not accepted: Incorrect API key provided",
        ),
        (
            *("vllm_model", {"POST /v1/chat/completions": (403, "no")}, "a"),
            "403: the key does not permit this call: no",
        ),
        (
            *("vllm_model", {"POST /v1/chat/completions": (429, {"error": {"message": "no quota"}})}, "a"),
            "429 from URL/v1/chat/completions: no quota",
        ),
        (
            *("vllm_model", {"POST /v1/chat/completions": (503, "\x1b[31mdown\nnow")}, "a"),
            "503 from URL/v1/chat/completions: down now",
        ),
        (
            *("vllm_model", {"POST /v1/chat/completions": (307, "")}, "a"),
            "URL/v1/chat/completions redirects to https://new.test/v1; configure the final address",
        ),
        (
            *("vllm_model", {"POST /v1/chat/completions": (200, "<html>login</html>")}, "a"),
            "URL/v1/chat/completions answers without JSON; the base URL must be the address of an OpenAI-style API",
        ),
        ("vllm_model", {}, "a", "404 from URL/v1/chat/completions: Not Found; check the base URL"),
        (
            *("azure_openai_model", {"POST /v1/openai/deployments/x/chat/completions": (404, {"error": {
                "code": "DeploymentNotFound", "message": "The API deployment does not exist."}})}, "x"),
            "no model 'x': The API deployment does not exist.",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_endpoint_is_one_sentence(
    implementation: str, replies: Replies, model: str, problem: str
) -> None:
    assert probe(replies, implementation, model) == [problem]


def test_an_address_that_lacks_its_version_is_completed() -> None:
    assert probe(BOTH, "openai_model", base="") == ["404 from URL/responses: Not Found; use URL/v1"]


def test_a_native_server_without_responses() -> None:
    problems = probe({**LISTED, **CHAT}, "vllm_model", is_responses_native=True)
    assert problems == ["URL/v1 speaks Chat Completions only; set is_responses_native: false"]


def test_an_address_where_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        assert asyncio.run(_probe("openai_model", url, "a")) == [f"{url} refuses connections"]


def test_each_of_several_endpoints_is_named() -> None:
    with socket.socket() as unused, socket.socket() as other:
        urls = []
        for item in (unused, other):
            item.bind(("127.0.0.1", 0))
            urls.append(f"http://127.0.0.1:{item.getsockname()[1]}/v1")
        fields = {"base_url": urls}
        assert asyncio.run(_probe("vllm_model", urls[0], "a", **fields)) == [
            f"{url} refuses connections" for url in urls
        ]


def test_an_endpoint_that_keeps_silent_does_not_hold_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gymctl.server.models.endpoint_probe.PROBE_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        assert asyncio.run(_probe("openai_model", url, "a")) == [f"no answer from {url} within 0.2 s"]


def test_a_server_that_echoes_the_key_does_not_show_it() -> None:
    echoed = {"error": {"message": "bad key sk-test-echoed-000"}}
    problems = probe({"POST /v1/chat/completions": (401, echoed)}, "vllm_model", api_key="sk-test-echoed-000")
    assert len(problems) == 1
    assert "sk-test-echoed-000" not in problems[0]
