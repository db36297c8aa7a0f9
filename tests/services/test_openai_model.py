"""The pass-through against an endpoint of our own on the loopback interface."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web
from model_endpoint import Endpoint, hang_up, serving, status
from service_stack import open_stack, post, service

from gymctl.errors import InputError
from gymctl.server import Call, Reply, Server

pytestmark = pytest.mark.enable_socket

CONFIG = service("responses_api_models", "openai_model") / "configs" / "openai_model.yaml"


@asynccontextmanager
async def at(endpoint: Endpoint, **settings: Any) -> AsyncIterator[Server]:
    """An ``openai_model`` in front of ``endpoint``."""
    async with serving(endpoint) as address:
        fields = {
            "openai_base_url": f"{address}/v1/",
            "openai_api_key": "sk-test",
            "openai_model": "real-model",
            "max_retries": 0,
            **settings,
        }
        async with open_stack(CONFIG, policy_model=fields) as servers:
            yield servers["policy_model"]


def ask(endpoint: Endpoint, params: Any, path: str = "/v1/responses", **settings: Any) -> Reply:
    async def work() -> Reply:
        async with at(endpoint, **settings) as model:
            body = params if isinstance(params, bytes) else orjson.dumps(params)
            return await model.handle(Call(path, body))

    return asyncio.run(work())


ODD = b'"id": 1,   "odd":[1.50, "\\u00e9\xc3\xa9", 12345678901234567890123]'
ANSWER = b'{"status":"completed","output":[]}'


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/v1/responses", b'"status":"completed",  "output":[]'),
        ("/v1/chat/completions", b'"choices": [{"finish_reason": "stop",  "message":{"content":"a"}}]'),
    ],
)
def test_bytes_pass_both_ways(path: str, rest: bytes) -> None:
    odd = b"{" + rest + b", " + ODD + b"}"
    endpoint = Endpoint(odd)
    request = b'{"input": "\\u00e9 $",  "n": 1.50, "deep": {"a":[ 1 ]}, "none": null}'
    reply = ask(endpoint, request, path)
    assert (reply.status, reply.body, reply.media_type) == (200, odd, "application/json")
    ((seen_path, headers, body),) = endpoint.seen
    assert seen_path == path
    assert headers["Authorization"] == "Bearer sk-test"
    assert headers["Content-Type"] == "application/json"
    assert body == b'{"input":"\\u00e9 $","n":1.50,"deep":{"a":[ 1 ]},"none":null,"model":"real-model"}'


def test_model_is_forced_and_the_request_wins_over_extra_body() -> None:
    endpoint = Endpoint(b"{}")
    extra = {"top_p": 0.5, "seed": 7, "model": "from-extra"}
    ask(endpoint, {"input": "hi", "model": "asked-for", "top_p": 1.0}, extra_body=extra)
    assert orjson.loads(endpoint.seen[0][2]) == {"input": "hi", "model": "real-model", "top_p": 1.0, "seed": 7}


def test_default_headers_are_sent() -> None:
    endpoint = Endpoint(b"{}")
    ask(endpoint, {}, openai_default_headers={"X-Team": "gym", "authorization": "Custom key"})
    assert endpoint.seen[0][1]["X-Team"] == "gym"
    assert endpoint.seen[0][1]["Authorization"] == "Custom key"


@pytest.mark.parametrize("alias", ["model", "model_name"])
def test_model_goes_by_other_names_too(alias: str) -> None:
    endpoint = Endpoint(b"{}")
    ask(endpoint, {}, **{alias: "other"})
    assert orjson.loads(endpoint.seen[0][2])["model"] == "other"


def test_a_missing_key_is_named() -> None:
    async def work() -> None:
        async with open_stack(CONFIG, policy_model={"max_concurrent_requests": 0}):
            pass

    with pytest.raises(InputError, match=r"policy_model.*max_concurrent_requests"):
        asyncio.run(work())


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a":}', b"null", b"\xff"])
def test_what_is_no_json_object_is_refused_here(body: bytes) -> None:
    endpoint = Endpoint(b"{}")
    reply = ask(endpoint, body)
    assert reply.status == 422
    assert reply.json()["detail"][0]["loc"] == ["body"]
    assert endpoint.seen == []


@pytest.mark.parametrize(("code", "becomes"), [(400, 502), (401, 502), (404, 502), (429, 429), (500, 502), (503, 503)])
def test_the_endpoints_own_status_is_in_the_cause(code: int, becomes: int) -> None:
    reply = ask(Endpoint(status(code, '{"error":{"message":"no such key"}}', retry_after="17")), {})
    assert reply.status == becomes
    body = reply.json()
    assert body["cause"] == {
        "hop": "policy_model",
        "path": "/v1/responses",
        "status": code,
        "body": '{"error":{"message":"no such key"}}',
        "kind": "status",
    }
    assert body["detail"].startswith(f"policy_model: POST /v1/responses answered {code}: ")
    assert reply.headers["retry-after"] == "17"
    assert "sk-test" not in reply.body.decode()


@pytest.mark.parametrize("answer", [b"<html>sign in</html>", b"", b"[]", b"\xff\xfe"])
def test_an_answer_that_is_no_json_object_is_a_failure(answer: bytes) -> None:
    reply = ask(Endpoint(answer), {})
    assert reply.status == 502
    assert (reply.json()["cause"]["status"], reply.json()["cause"]["kind"]) == (200, "no_answer")
    assert reply.json()["cause"]["body"] == answer.decode(errors="replace")


def test_a_dead_endpoint_is_named() -> None:
    reply = ask(Endpoint(b"{}"), {}, openai_base_url="http://127.0.0.1:9/v1")
    assert reply.status == 502
    assert reply.json()["cause"]["kind"] == "connect"
    assert "127.0.0.1" in reply.json()["cause"]["body"]


async def never(request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


@pytest.mark.parametrize("by_caller", [True, False])
def test_the_deadline_ends_a_call(by_caller: bool) -> None:
    async def work() -> Reply:
        async with at(Endpoint(never), timeout_seconds=30 if by_caller else 0.1, max_retries=3) as model:
            return await model.handle(
                Call("/v1/responses", b"{}", deadline=time.monotonic() + 0.1 if by_caller else None)
            )

    started = time.monotonic()
    reply = asyncio.run(work())
    assert reply.status == 504
    assert reply.json()["cause"]["kind"] == "timeout"
    assert time.monotonic() - started < 1.0


@pytest.mark.parametrize(
    "first", [status(429, retry_after="0"), status(503, retry_after="0"), status(500, retry_after="0")]
)
def test_a_passing_failure_is_tried_again(first: web.Response) -> None:
    endpoint = Endpoint(first, ANSWER)
    reply = ask(endpoint, {"input": "hi"}, max_retries=2)
    assert (reply.status, reply.body, len(endpoint.seen)) == (200, ANSWER, 2)
    assert endpoint.seen[0][2] == endpoint.seen[1][2]


def test_a_connection_that_breaks_is_tried_again() -> None:
    endpoint = Endpoint(hang_up, ANSWER)
    assert ask(endpoint, {}, max_retries=1).body == ANSWER
    endpoint = Endpoint(hang_up)
    reply = ask(endpoint, {})
    assert (reply.status, reply.json()["cause"]["kind"]) == (502, "reset")


def test_retries_are_bounded_and_the_last_failure_is_told() -> None:
    endpoint = Endpoint(status(503, retry_after="0"), status(500, "boom", retry_after="0"))
    reply = ask(endpoint, {}, max_retries=2)
    assert len(endpoint.seen) == 3
    assert (reply.json()["cause"]["status"], reply.json()["cause"]["body"]) == (500, "boom")


@pytest.mark.parametrize("code", [400, 401, 404, 422])
def test_a_lasting_failure_is_not_tried_again(code: int) -> None:
    endpoint = Endpoint(status(code))
    ask(endpoint, {}, max_retries=5)
    assert len(endpoint.seen) == 1


def test_a_long_retry_after_is_left_to_the_caller() -> None:
    endpoint = Endpoint(status(429, retry_after="120"))
    started = time.monotonic()
    reply = ask(endpoint, {}, max_retries=5)
    assert (reply.status, reply.headers["retry-after"], len(endpoint.seen)) == (429, "120", 1)
    assert time.monotonic() - started < 1.0


def test_at_most_so_many_calls_are_at_the_endpoint_and_a_full_queue_refuses() -> None:
    now, most = 0, 0

    async def slow(request: web.Request) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1
        return web.json_response({"status": "completed", "output": []})

    async def work() -> list[Reply]:
        async with at(Endpoint(slow), max_concurrent_requests=2, max_queued_requests=3) as model:
            return list(await asyncio.gather(*(post(model, "/v1/responses", {}) for _ in range(8))))

    replies = asyncio.run(work())
    assert most == 2
    assert sorted(reply.status for reply in replies) == [200] * 5 + [503] * 3
    refused = next(reply for reply in replies if reply.status == 503)
    assert refused.headers["retry-after"] == "1"


def test_what_is_refused_here_is_not_tried_again() -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(1.5)
        return web.json_response({"status": "completed", "output": []})

    async def work() -> tuple[Reply, float]:
        async with at(Endpoint(slow), max_concurrent_requests=1, max_queued_requests=0, max_retries=2) as model:
            first = asyncio.create_task(post(model, "/v1/responses", {}))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            refused = await post(model, "/v1/responses", {})
            took = time.monotonic() - began
            assert (await first).status == 200
            return refused, took

    refused, took = asyncio.run(work())
    assert (refused.status, refused.headers["retry-after"], refused.json()["cause"]["kind"]) == (503, "1", "busy")
    assert took < 0.5


def test_waiting_in_the_queue_ends_by_the_deadline() -> None:
    async def work() -> list[Reply]:
        async with at(Endpoint(never), max_concurrent_requests=1) as model:
            calls = (Call("/v1/responses", b"{}", deadline=time.monotonic() + 0.1) for _ in range(3))
            return list(await asyncio.gather(*(model.handle(call) for call in calls)))

    assert [reply.status for reply in asyncio.run(work())] == [504] * 3


def test_reasoning_items_are_dropped_where_that_is_set() -> None:
    thought = b'{"type":"reasoning","id":"rs_1","summary":[]}'
    item = b'{"role":"user","content":"a  b"}'
    for source, sent in ((b"[" + thought + b"," + item + b"]", b"[" + item + b"]"), (b'"text"', b'"text"')):
        endpoint = Endpoint(b"{}")
        ask(endpoint, b'{"input":' + source + b"}", drop_input_reasoning_items=True)
        assert endpoint.seen[0][2] == b'{"input":' + sent + b',"model":"real-model"}'
    endpoint = Endpoint(b"{}")
    ask(endpoint, b'{"input":[' + thought + b"]}")
    assert thought in endpoint.seen[0][2]
    assert ask(Endpoint(b"{}"), b'{"input":[1]}', drop_input_reasoning_items=True).status == 422
