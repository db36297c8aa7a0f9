"""Bodies that a model's endpoint should never send, through model servers, an agent and an environment."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import orjson
import pytest
from aiohttp import web
from model_endpoint import Endpoint, serving
from service_stack import environment, open_stack, service
from test_what_a_model_may_answer import AGENT, SERVERS, VLLM, roll_out

from gymctl.rollouts.failures import Failure
from gymctl.rollouts.remedies import remedy
from gymctl.server import Call, HopFailed
from gymctl.server.models import endpoint_client

pytestmark = pytest.mark.enable_socket

SAID = {"role": "assistant", "content": "4"}
MESSAGE = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "4", "annotations": []}]}
DEEP = "[" * 3000 + "]" * 3000


def chat(**choice: Any) -> bytes:
    return json.dumps({"choices": [{"finish_reason": "stop", "message": SAID, **choice}]}).encode()


def response(*output: Any, **more: Any) -> bytes:
    return json.dumps({"status": "completed", "output": output, **more}).encode()


def with_field(body: bytes, field: str) -> bytes:
    return body[:-1] + b"," + field.encode() + b"}"


NOT_JSON = {
    "two documents": chat() + response(),
    "a number": b"4",
    "a list": b"[" + chat() + b"]",
    "blanks": b"  \n ",
    "XML": b'<?xml version="1.0"?><a/>',
    "a proxy's words": b"upstream connect error or disconnect/reset before headers",
    "a NUL": b"\0",
    "UTF-16": chat().decode().encode("utf-16"),
    "a list in lists": f'{{"choices":{DEEP},"output":{DEEP}}}'.encode(),
    "an infinite number": b'{"x":1e400,' + chat()[1:],
    "NaN": b'{"x":NaN,' + response(MESSAGE)[1:],
    "a stream's comment": b": ping\n\n",
    "another provider's shape": b'{"type":"message","content":[{"type":"text","text":"4"}],"stop_reason":"end_turn"}',
    "detail": b'{"detail":"Not Found"}',
    "an error list": b'{"error":["a"]}',
    "an error that is false": with_field(chat(), '"error":false,"status":"completed","output":[]'),
    "an error that is empty": with_field(chat(), '"error":{},"status":"completed","output":[]'),
    "an error of status 200": b'{"error":{"code":200}}',
    "an error with a number beyond reason": b'{"error":{"code":1e99}}',
    "an error in Google's list, without a code": b'[{"error":{"message":"boom"}}]',
    "errors in a list": with_field(chat(), '"errors":["boom"],"status":"completed","output":[]'),
    "no success": with_field(chat(), '"success":false,"status":"completed","output":[]'),
}
ODD_REASONS: tuple[Any, ...] = ("STOP", "", "end_turn", 0, [], {}, True)
ODD_STATUSES: tuple[Any, ...] = ("COMPLETED", "", 0, [], {}, True)
NOT_CHAT = {
    **{f"finish reason {reason!r}": chat(finish_reason=reason) for reason in ODD_REASONS},
    "choices as an object": b'{"choices":{"0":{"finish_reason":"stop","message":{"content":"4"}}}}',
    "a choice that is null": b'{"choices":[null]}',
    "a message that is text": chat(message="4"),
    "reasoning that is a number": chat(message={**SAID, "reasoning": 3}),
    **{f"role {role}": chat(message={**SAID, "role": role}) for role in ("user", "system", "tool", "function")},
    **{f"status {value}": with_field(chat(), f'"status":"{value}"') for value in ("failed", "queued", "in_progress")},
    "calls that are not there": chat(finish_reason="tool_calls", message={**SAID, "content": None, "tool_calls": []}),
    "a second choice that was aborted": orjson.dumps(
        {"choices": [{"finish_reason": reason, "message": SAID} for reason in ("stop", "abort")]}
    ),
}
NOT_A_RESPONSE = {
    **{f"status {value!r}": response(MESSAGE, status=value) for value in ODD_STATUSES},
    "output as an object": b'{"status":"completed","output":{"0":1}}',
    "an answer within a response": b'{"response":' + response(MESSAGE) + b"}",
    "a tool's output": response({"type": "function_call_output", "call_id": "c", "output": "4"}, MESSAGE),
    "a user's message": response({**MESSAGE, "role": "user"}),
    "an error in words": response(MESSAGE, error="boom"),
    "a part that is a number": response({**MESSAGE, "content": [4]}),
    "a part of an unknown type": response({**MESSAGE, "content": [{"type": "x"}]}),
    **{f"a message that is {value}": response({**MESSAGE, "status": value}) for value in ("in_progress", "failed", 3)},
    "a call that is in progress": response({"type": "function_call", "name": "f", "status": "in_progress"}),
    "calls in a message": response({**MESSAGE, "content": None, "tool_calls": [{"id": "c"}]}),
    "an item that is an error": response({"type": "error", "message": "boom"}),
    "text without output": response(output_text="4"),
    "thoughts that are numbers": response({"type": "reasoning", "content": [3]}, MESSAGE),
}


def outcome(server: str, body: bytes) -> tuple[str, dict[str, Any]]:
    """The class of the failure, or "answer"; and the agent's reply."""
    reply = asyncio.run(roll_out(server, web.Response(body=body, content_type="application/json")))
    if reply.status >= 400:
        failure = Failure.of(HopFailed.of(AGENT, "/run", reply))
        assert failure.retriable
        return failure.failure_class, reply.json()
    return "answer", reply.json()


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_not_an_answer_is_never_scored(server: str) -> None:
    is_chat = SERVERS[server][0] == "Replies of Chat Completions"
    bodies = {**NOT_JSON, **(NOT_CHAT if is_chat else NOT_A_RESPONSE)}
    outcomes = {name: outcome(server, body)[0] for name, body in bodies.items()}
    assert outcomes == dict.fromkeys(bodies, "no_answer")


ODD_CHAT = {
    "a byte order mark": b"\xef\xbb\xbf" + chat(),
    "bytes that are not UTF-8": chat().replace(b'"4"', b'"4\xff\xed\xa0\xbd"'),
    "content as a part": chat(message={"content": {"type": "text", "text": "4"}}),
    "a status as a list": with_field(chat(), '"status":[]'),
    "a role as a list": chat(message={**SAID, "role": []}),
    "errors, of which there are none": with_field(chat(), '"errors":[],"success":true'),
    "hidden thoughts": chat(message={"content": [{"type": "redacted_thinking", "data": "x"}, {"text": "4"}]}),
    "sound": chat(message={"content": None, "audio": {"transcript": "4"}}),
    "two values of one key": chat(finish_reason="abort").replace(b'"abort"', b'"abort","finish_reason":"stop"'),
    "log-probs as text": chat(logprobs="x"),
    "log-probs of numbers": chat(logprobs={"content": [3]}),
    "usage as a list": with_field(chat(), '"usage":[]'),
    "usage with odd details": with_field(
        chat(), '"usage":{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":"x"}'
    ),
}
ODD_RESPONSES = {
    "content as text": response({**MESSAGE, "content": "4"}),
    "a part as text": response({**MESSAGE, "content": ["4"]}),
    "a part's type as a list": response({**MESSAGE, "content": [{"type": [], "text": "4"}]}),
    "thoughts as text": response({"type": "reasoning", "summary": "hm"}, MESSAGE),
    "no thoughts": response({"type": "reasoning", "summary": None}, {"type": "reasoning"}, MESSAGE),
    "an item of the provider's": response({"type": "mcp_call", "x": 1}, MESSAGE),
    "usage as text": response(MESSAGE, usage="x"),
    "usage with text": response(MESSAGE, usage={"input_tokens": "3", "output_tokens": "x"}),
    "details as text": response(MESSAGE, status="incomplete", incomplete_details="max_output_tokens"),
    "incomplete without details": response(MESSAGE, status="incomplete"),
}


@pytest.mark.parametrize("server", SERVERS)
def test_odd_shapes_of_an_answer_are_answers(server: str) -> None:
    is_chat = SERVERS[server][0] == "Replies of Chat Completions"
    for name, body in (ODD_CHAT if is_chat else ODD_RESPONSES).items():
        result, reply = outcome(server, body)
        assert result == "answer", (name, reply)
        texts = [part["text"] for item in reply["response"]["output"] for part in item.get("content") or ()]
        assert "".join(texts).startswith("4"), name


def test_a_broken_connection_is_not_an_answer() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"content-length": "1000", "content-type": "application/json"})
        await reply.prepare(request)
        await reply.write(chat())
        assert request.transport is not None
        request.transport.close()
        return reply

    reply = asyncio.run(roll_out("vllm_model", cut))
    assert Failure.of(HopFailed.of(AGENT, "/run", reply)).failure_class == "reset"


def compressed(body: bytes, encoding: str) -> web.Response:
    return web.Response(body=body, headers={"content-encoding": encoding, "content-type": "application/json"})


@pytest.mark.parametrize(
    ("body", "encoding", "expected"),
    [
        (gzip.compress(chat()), "gzip", "answer"),
        (zlib.compress(chat()), "deflate", "answer"),
        (zlib.compress(chat(), wbits=-15), "deflate", "answer"),
        (gzip.compress(zlib.compress(chat())), "deflate, gzip", "answer"),
        (chat(), "utf-8", "answer"),
        (gzip.compress(chat())[:-4], "gzip", "no_answer"),
        (gzip.compress(chat())[:-20], "gzip", "no_answer"),
        (gzip.compress(chat())[:-8] + bytes(8), "gzip", "no_answer"),
        (chat(), "gzip", "no_answer"),
        (b"", "gzip", "no_answer"),
        (chat(), "br", "no_answer"),
        (chat(), "zstd", "no_answer"),
        (gzip.compress(bytes(300 << 20), 1), "gzip", "no_answer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_compressed_answer_is_read_whole_or_not_at_all(body: bytes, encoding: str, expected: str) -> None:
    reply = asyncio.run(roll_out("vllm_model", compressed(body, encoding)))
    failure_class = Failure.of(HopFailed.of(AGENT, "/run", reply)).failure_class if reply.status >= 400 else "answer"
    assert failure_class == expected, reply.body


def test_an_answer_without_an_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_client, "MOST_BYTES", 1 << 20)

    async def endless(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        while True:
            await reply.write(bytes(1 << 16))

    reply = asyncio.run(roll_out("vllm_model", endless))
    failure = Failure.of(HopFailed.of(AGENT, "/run", reply))
    assert (failure.failure_class, "more than 1 MB" in failure.message) == ("no_answer", True)


async def failure_at(scheme: str, words: bytes, monkeypatch: pytest.MonkeyPatch) -> Failure:
    """The failure of a rollout whose model's address, or the proxy to it, says ``words`` to whatever it is sent."""

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    address = "{}:{}".format(*server.sockets[0].getsockname()[:2])
    async with server:
        monkeypatch.setenv("https_proxy", f"http://{address}")
        base = f"http://{address}/v1" if scheme == "http" else "https://model.test/v1"
        config = service("responses_api_models", "vllm_model") / "configs" / "vllm_model.yaml"
        policy = {**VLLM, "base_url": base}
        async with open_stack(environment("example_single_tool_call"), config, policy_model=policy) as servers:
            row = {"responses_create_params": {"input": "What is the weather?"}}
            reply = await servers[AGENT].handle(Call("/run", orjson.dumps(row)))
    return Failure.of(HopFailed.of(AGENT, "/run", reply))


@pytest.mark.parametrize("words", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02\x02\x46", chat()])
def test_what_does_not_speak_http_is_named_with_the_cure(words: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = asyncio.run(failure_at("http", words, monkeypatch))
    assert (failure.failure_class, failure.retriable) == ("connect", True)
    assert "not an HTTP server" in failure.message
    assert "scheme" in remedy(failure)


@pytest.mark.parametrize(
    ("status", "failure_class", "advice"),
    [(407, "rejected", "proxy requires credentials"), (403, "rejected", "key"), (503, "unavailable", "")],
)
def test_a_proxy_that_refuses_is_named(
    status: int, failure_class: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = f"HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n".encode()
    failure = asyncio.run(failure_at("https", words, monkeypatch))
    assert (failure.failure_class, failure.status) == (failure_class, status)
    assert "the proxy does not connect to https://model.test/v1" in failure.message
    assert advice in remedy(failure)


def test_the_proxy_of_a_list_of_hosts_is_named_with_the_key_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "policy_model may not call model.test:443: add model.test:443 to 'egress' of policy_model"
    words = f"HTTP/1.1 403 {message}\r\ncontent-length: 0\r\n\r\n".encode()
    failure = asyncio.run(failure_at("https", words, monkeypatch))
    assert failure.of_the_setup
    assert message in failure.message
    assert remedy(failure).endswith("change 'egress' of policy_model")


@pytest.mark.parametrize("status", [402, 405, 407, 410, 421, 501])
def test_statuses_of_a_wrong_configuration_have_a_remedy(status: int) -> None:
    reply = asyncio.run(roll_out("vllm_model", web.Response(status=status, text="{}")))
    failure = Failure.of(HopFailed.of(AGENT, "/run", reply))
    assert failure.of_the_setup
    assert "check" in remedy(failure)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/latest", "http://policy_model:1/"])
def test_an_image_from_a_private_address_is_refused_before_anything_is_sent(server: str, url: str) -> None:
    endpoint = Endpoint(chat())

    async def refused() -> Failure:
        config = service("responses_api_models", server.partition(",")[0]) / "configs"
        _, address_field, fields = SERVERS[server]
        async with serving(endpoint) as address:
            policy = {**fields, address_field: f"{address}/v1"}
            config /= f"{server.partition(',')[0]}.yaml"
            async with open_stack(environment("example_single_tool_call"), config, policy_model=policy) as servers:
                content = [{"type": "input_text", "text": "?"}, {"type": "input_image", "image_url": url}]
                row = {"responses_create_params": {"input": [{"role": "user", "content": content}]}}
                reply = await servers[AGENT].handle(Call("/run", orjson.dumps(row)))
        return Failure.of(HopFailed.of(AGENT, "/run", reply))

    failure = asyncio.run(refused())
    assert (failure.failure_class, failure.status, endpoint.seen) == ("rejected", 422, [])
    assert '"content",1,' in failure.message.replace(" ", "")
