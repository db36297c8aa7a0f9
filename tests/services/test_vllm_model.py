"""``vllm_model`` against endpoints of our own on the loopback interface: what goes out, comes back, and to whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web
from model_endpoint import Answer, Endpoint, hang_up, serving, status
from service_stack import open_stack, post, service

from gymctl.errors import InputError
from gymctl.server import Call, Reply, Server

pytestmark = pytest.mark.enable_socket

CONFIG = service("responses_api_models", "vllm_model") / "configs" / "vllm_model.yaml"
TRAINING = CONFIG.with_name("vllm_model_for_training.yaml")


def completion(message: dict[str, Any] | None = None, finish: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": "a", **(message or {})}}
    choice.update(more.pop("choice", {}))
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
        **more,
    }


def dumped(value: Any) -> bytes:
    return orjson.dumps(value)


PLAIN = dumped(completion())
LOGPROBS: dict[str, Any] = {
    "content": [{"token": f"token_id:{n}", "logprob": -0.5 * n, "bytes": None, "top_logprobs": []} for n in (7, 8)]
}
WITH_IDS = completion(choice={"logprobs": LOGPROBS})
TOKENS = dumped({"count": 2, "max_model_len": 100, "tokens": [1, 2]})
IDS = {"prompt_token_ids": [1, 2], "generation_token_ids": [7, 8], "generation_log_probs": [-3.5, -4.0]}


@asynccontextmanager
async def at(*endpoints: Endpoint, training: bool = False, **settings: Any) -> AsyncIterator[Server]:
    """A ``vllm_model`` in front of the endpoints."""
    async with AsyncExitStack() as stack:
        urls = [f"{await stack.enter_async_context(serving(endpoint))}/v1" for endpoint in endpoints]
        fields = {"base_url": urls if len(urls) > 1 else urls[0], "api_key": "sk-test", "model": "m", "max_retries": 0}
        config = TRAINING if training else CONFIG
        servers = await stack.enter_async_context(open_stack(config, policy_model={**fields, **settings}))
        yield servers["policy_model"]


def ask(endpoint: Endpoint, params: Any, path: str = "/v1/responses", **settings: Any) -> Reply:
    async def work() -> Reply:
        async with at(endpoint, **settings) as model:
            return await model.handle(Call(path, params if isinstance(params, bytes) else orjson.dumps(params)))

    return asyncio.run(work())


def sent(endpoint: Endpoint, number: int = 0) -> dict[str, Any]:
    return orjson.loads(endpoint.seen[number][2])  # type: ignore[no-any-return]


def chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": list(messages) or [{"role": "user", "content": "u"}], **more}


def test_responses_become_a_chat_and_come_back() -> None:
    endpoint = Endpoint(dumped(completion({"reasoning": "why"})))
    params = {"input": "u", "max_output_tokens": 9, "temperature": 0.5}
    reply = ask(endpoint, params, default_headers={"X-Team": "gym"})
    path, headers, _ = endpoint.seen[0]
    assert (path, headers["Authorization"], headers["X-Team"]) == ("/v1/chat/completions", "Bearer sk-test", "gym")
    assert sent(endpoint) == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "u"}]}],
        "max_tokens": 9,
        "temperature": 0.5,
        "model": "m",
    }
    body = reply.json()
    assert [item["type"] for item in body["output"]] == ["reasoning", "message"]
    assert (body["model"], body["temperature"], body["usage"]["total_tokens"]) == ("m", 0.5, 5)
    assert len(endpoint.seen) == 1


def test_chat_completions_are_served_too() -> None:
    endpoint = Endpoint(dumped(completion({"reasoning_content": "why"})))
    history: list[dict[str, Any]] = [
        {"role": "developer", "content": "d"},
        {"role": "assistant", "content": "<think>x</think>y", "tool_calls": []},
    ]
    reply = ask(endpoint, chat(*history, n=1), "/v1/chat/completions", replace_developer_role_with_system=True)
    assert sent(endpoint) == {
        "messages": [
            {"role": "system", "content": "d"},
            {"role": "assistant", "content": "y", "reasoning_content": "x", "reasoning": "x"},
        ],
        "n": 1,
        "model": "m",
    }
    assert reply.json()["choices"][0]["message"] == {"role": "assistant", "content": "<think>why</think>a"}


def test_reasoning_in_parts_of_a_chat_message() -> None:
    endpoint = Endpoint(PLAIN)
    parts = [{"type": "text", "text": "<think>x</think>"}, {"type": "text", "text": "y"}]
    ask(
        endpoint,
        chat({"role": "assistant", "content": parts}),
        "/v1/chat/completions",
        uses_interleaved_reasoning=False,
    )
    kept_parts = [{"type": "text", "text": ""}, {"type": "text", "text": "y"}]
    assert sent(endpoint)["messages"] == [{"role": "assistant", "content": kept_parts}]


@pytest.mark.parametrize(
    ("base_url", "asked"), [("", "/v1"), ("/", "/v1"), ("/v1/", "/v1"), ("/proxy/v1", "/proxy/v1")]
)
def test_an_address_without_a_path_gets_its_v1(base_url: str, asked: str) -> None:
    async def work() -> list[str]:
        endpoint = Endpoint(dumped(WITH_IDS), TOKENS)
        async with serving(endpoint) as address, at(endpoint, training=True, base_url=address + base_url) as model:
            await post(model, "/v1/responses", {"input": "u"})
        return [path for path, _, _ in endpoint.seen]

    assert asyncio.run(work()) == [f"{asked}/chat/completions", f"{asked.removesuffix('/v1')}/tokenize"]


@pytest.mark.parametrize("alias", ["model", "model_name"])
def test_the_model_goes_by_either_name(alias: str) -> None:
    endpoint = Endpoint(PLAIN)
    ask(endpoint, {"input": "u", "model": "asked-for"}, **{alias: "other"})
    assert sent(endpoint)["model"] == "other"


def test_what_rows_add_wins_over_the_configuration_and_the_request_over_both() -> None:
    endpoint = Endpoint(PLAIN)
    metadata = {
        "chat_template_kwargs": '{"enable_thinking": false, "new": 1}',
        "extra_body": '{"min_tokens": 20, "seed": 7, "temperature": 2}',
    }
    ask(
        endpoint,
        {"input": "u", "metadata": metadata, "temperature": 0.5},
        chat_template_kwargs={"enable_thinking": True, "kept": "x"},
        extra_body={"min_tokens": 10, "top_k": 5, "model": "from-extra"},
    )
    body = sent(endpoint)
    assert body.pop("messages")
    assert body == {
        "chat_template_kwargs": {"enable_thinking": False, "kept": "x", "new": 1},
        "min_tokens": 20,
        "top_k": 5,
        "seed": 7,
        "temperature": 0.5,
        "metadata": metadata,
        "model": "m",
    }


@pytest.mark.parametrize("name", ["chat_template_kwargs", "extra_body"])
@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_metadata_that_is_no_json_object_is_refused(name: str, text: str) -> None:
    endpoint = Endpoint(PLAIN)
    reply = ask(endpoint, {"input": "u", "metadata": {name: text}})
    assert (reply.status, reply.json()["detail"][0]["loc"]) == (422, ["body", "metadata", name])
    assert endpoint.seen == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", b"{"),
        ("/v1/responses", b"[]"),
        ("/v1/responses", b"{}"),
        ("/v1/chat/completions", b"{}"),
        ("/v1/chat/completions", b'{"messages":[]}'),
        ("/v1/chat/completions", b'{"messages":["u"]}'),
        ("/v1/chat/completions", b'{"messages":[{"role":"user","content":"u"}],"stream":true}'),
    ],
)
def test_a_wrong_request_is_refused_here(path: str, body: bytes) -> None:
    endpoint = Endpoint(PLAIN)
    assert ask(endpoint, body, path).status == 422
    assert endpoint.seen == []


def test_token_ids_of_an_older_vllm_take_a_call_of_tokenize() -> None:
    endpoint = Endpoint(dumped(WITH_IDS), TOKENS)
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    params = {"input": "u", "tools": [tool], "temperature": 1.0, "top_logprobs": None}
    reply = ask(endpoint, params, training=True, chat_template_kwargs={"enable_thinking": False})
    asked = sent(endpoint)
    expected = {"logprobs": True, "top_logprobs": 0, "return_tokens_as_token_ids": True, "return_token_ids": True}
    assert {name: asked[name] for name in expected} == expected
    assert endpoint.seen[1][0] == "/tokenize"
    assert sent(endpoint, 1) == {name: asked[name] for name in ("model", "messages", "tools", "chat_template_kwargs")}
    (item,) = reply.json()["output"]
    assert {name: item[name] for name in IDS} == IDS


def test_token_ids_of_a_newer_vllm_take_one_call() -> None:
    whole = completion(choice={"logprobs": LOGPROBS, "token_ids": [7, 8]}, prompt_token_ids=[1, 2])
    endpoint = Endpoint(dumped(whole))
    for path, params in (("/v1/responses", {"input": "u"}), ("/v1/chat/completions", chat())):
        endpoint.seen.clear()
        body = ask(endpoint, params, path, training=True).json()
        assert len(endpoint.seen) == 1
        item = body["output"][0] if path == "/v1/responses" else body["choices"][0]["message"]
        assert {name: item[name] for name in IDS} == IDS
    assert body["choices"][0].keys() == {"index", "finish_reason", "message"}
    assert "prompt_token_ids" not in body


def test_token_ids_that_are_on_the_message_already_are_used() -> None:
    endpoint = Endpoint(dumped(completion({**IDS, "routed_experts": "x"})))
    (item,) = ask(endpoint, {"input": "u"}, training=True).json()["output"]
    assert {name: item[name] for name in IDS} == IDS
    assert item["routed_experts"] == "x"
    assert len(endpoint.seen) == 1


def test_training_fields_of_earlier_turns_go_along() -> None:
    endpoint = Endpoint(dumped(WITH_IDS), TOKENS)
    before = {"type": "message", "role": "assistant", "content": "b", **IDS}
    ask(endpoint, {"input": [before]}, training=True)
    assert sent(endpoint)["messages"] == [{"role": "assistant", "content": "b", **IDS}]


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ([PLAIN], "the answer has no log-probs"),
        ([dumped(WITH_IDS), b'{"count":2}'], "no list of tokens"),
        ([dumped(WITH_IDS), status(404, "no such path")], "no such path"),
    ],
)
def test_without_token_ids_there_is_no_answer(answers: list[Any], text: str) -> None:
    reply = ask(Endpoint(*answers), {"input": "u"}, training=True)
    assert reply.status == 502
    assert text in reply.json()["cause"]["body"]


def test_a_full_context_is_an_incomplete_answer_with_the_endpoints_words() -> None:
    text = '{"object":"error","message":"This model\'s maximum context length is 64 tokens. However, you requested 99"}'
    for training in (False, True):
        endpoint = Endpoint(status(400, text))
        body = ask(endpoint, {"input": "u"}, training=training).json()
        assert body["status"] == "incomplete"
        assert body["incomplete_details"] == {"reason": "max_output_tokens", "message": text}
        (item,) = body["output"]
        assert item["content"][0]["text"] == "" and not IDS.keys() & item.keys()
        assert len(endpoint.seen) == 1
    body = ask(Endpoint(status(400, text)), chat(), "/v1/chat/completions").json()
    assert body["choices"][0]["finish_reason"] == "length" and body["detail"] == text


def test_other_refusals_of_the_endpoint_are_failures() -> None:
    for params, text in (({}, "temperature must be positive"), ({"max_output_tokens": 0}, "max_tokens must be 1")):
        reply = ask(Endpoint(status(400, text)), {"input": "u", **params})
        assert (reply.status, reply.json()["cause"]["status"], reply.json()["cause"]["body"]) == (502, 400, text)


def test_an_answer_cut_short_is_incomplete() -> None:
    body = ask(Endpoint(dumped(completion(finish="length"))), {"input": "u"}).json()
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


@pytest.mark.parametrize("parsed", [True, False])
def test_reasoning_without_an_answer_may_end_it(parsed: bool) -> None:
    thought = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "why"}]}
    for allowed, calls in ((True, 1), (False, 0)):
        endpoint = Endpoint(PLAIN)
        settings: dict[str, Any] = {"sequential_reasoning_allowed": allowed, "uses_reasoning_parser": parsed}
        body = ask(endpoint, {"input": [{"role": "user", "content": "u"}, thought]}, **settings).json()
        assert len(endpoint.seen) == calls
        assert (body.get("incomplete_details") or {}).get("reason") == (None if allowed else "content_filter")


def test_a_parser_that_should_not_be_there_is_told() -> None:
    reply = ask(Endpoint(dumped(completion({"reasoning": "why"}))), {"input": "u"}, uses_reasoning_parser=False)
    assert reply.status == 502
    assert "set it to true, or start the endpoint without --reasoning-parser" in reply.json()["cause"]["body"]


@pytest.mark.parametrize("answer", [b'{"object":"error"}', b'{"choices":[]}', b"{nonsense", b"<html>", b"[]"])
def test_what_is_no_completion_is_a_failure(answer: bytes) -> None:
    reply = ask(Endpoint(answer), {"input": "u"})
    assert (reply.status, reply.json()["cause"]["status"]) == (502, 200)
    assert "sk-test" not in reply.body.decode()


def test_a_model_that_speaks_responses_itself() -> None:
    answer = b'{"id": "resp_1",  "status":"completed", "output": []}'
    endpoint = Endpoint(answer)
    params = {"input": "u", "reasoning": {"effort": "low"}}
    settings: dict[str, Any] = {
        "is_responses_native": True,
        "extra_body": {"seed": 1},
        "chat_template_kwargs": {"x": 1},
    }
    reply = ask(endpoint, params, **settings)
    assert reply.body == answer
    assert endpoint.seen[0][0] == "/v1/responses"
    assert sent(endpoint) == {**params, "seed": 1, "chat_template_kwargs": {"x": 1}, "model": "m"}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"is_responses_native": True, "return_token_id_information": True}, "return_token_id_information: false"),
        ({"is_responses_native": True, "sequential_reasoning_allowed": False}, "sequential_reasoning_allowed: true"),
        ({"base_url": []}, "base_url.*at least 1"),
        ({"base_url": 3}, "base_url"),
    ],
)
def test_what_cannot_be_configured(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        ask(Endpoint(PLAIN), {"input": "u"}, **settings)


COOKIE = "VLLMModel___policy_model"


async def spread(model: Server, sessions: list[str]) -> list[int]:
    """The statuses of one call for each session."""
    replies = [await post(model, "/v1/responses", {"input": name}, cookies={COOKIE: name}) for name in sessions]
    return [reply.status for reply in replies]


def who(endpoint: Endpoint) -> set[str]:
    return {orjson.loads(body)["messages"][0]["content"][0]["text"] for _, _, body in endpoint.seen}


def test_a_session_stays_with_its_endpoint() -> None:
    async def work() -> None:
        one, two = Endpoint(PLAIN), Endpoint(PLAIN)
        sessions = [f"session-{number}" for number in range(120)]
        async with at(one, two) as model:
            await spread(model, sessions * 3)
        assert who(one) | who(two) == set(sessions)
        assert not who(one) & who(two)
        assert 30 <= len(who(one)) <= 90  # the ports are chance, and so is the share

    asyncio.run(work())


def test_a_session_keeps_the_id_that_its_first_reply_gave_it() -> None:
    async def work() -> None:
        one, two = Endpoint(PLAIN), Endpoint(PLAIN)
        async with at(one, two) as model:
            for _ in range(20):
                reply = await post(model, "/v1/responses", {"input": "u"})
                before = len(one.seen)
                first = "one" if before % 4 else ""
                for _ in range(3):
                    await post(model, "/v1/responses", {"input": "u"}, cookies=reply.cookies)
                assert first or len(one.seen) % 4 == 0
        assert len(one.seen) % 4 == len(two.seen) % 4 == 0
        assert one.seen and two.seen

    asyncio.run(work())


@pytest.mark.parametrize("broken", [status(500, "boom"), hang_up])
def test_an_endpoint_that_fails_is_left_alone_and_tried_again_later(
    broken: Answer | web.Response, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gymctl.server")

    moments = [100.0]

    async def work() -> None:
        well, ill = Endpoint(PLAIN), Endpoint(*[broken] * 4, PLAIN)
        sessions = [f"session-{number}" for number in range(30)]
        async with at(well, ill, max_retries=1, backend_rest_seconds=20) as model:
            vars(model)["_provider"]._affinity._clock = lambda: moments[-1]
            assert set(await spread(model, sessions)) == {200}
            assert len(ill.seen) == 3  # three sessions found it so; all others went elsewhere at once
            assert who(well) == set(sessions)
            assert "failed 3 times in a row; its sessions use other backends for 20 s" in caplog.text
            moments.append(moments[-1] + 21)
            assert set(await spread(model, sessions)) == {200}
            assert len(ill.seen) == 4  # one call tried it again
            moments.append(moments[-1] + 21)
            well.seen.clear()
            ill.seen.clear()
            ill.answers = (PLAIN,)
            assert set(await spread(model, sessions * 2)) == {200}
            assert not who(well) & who(ill)
            assert len(ill.seen) > 10  # it is itself again, and so are its sessions
        assert "has recovered" in caplog.text

    asyncio.run(work())


def test_an_endpoint_that_is_gone_costs_no_rollout_and_no_retry() -> None:
    async def work() -> None:
        gone, well = Endpoint(PLAIN), Endpoint(PLAIN)
        async with AsyncExitStack() as stack:
            there = await stack.enter_async_context(serving(well))
            leaving = AsyncExitStack()
            left = await leaving.enter_async_context(serving(gone))
            urls = [f"{left}/v1", f"{there}/v1"]
            model = await stack.enter_async_context(at(well, base_url=urls, max_retries=0))
            sessions = [f"session-{number}" for number in range(30)]
            assert set(await spread(model, sessions)) == {200}
            assert who(gone)
            await leaving.aclose()
            well.seen.clear()
            started = time.monotonic()
            assert set(await spread(model, sessions)) == {200}
            assert time.monotonic() - started < 2.0
            assert who(well) == set(sessions)

    asyncio.run(work())


def test_when_all_are_ill_the_failure_is_told() -> None:
    async def work() -> None:
        async with at(Endpoint(status(500, "boom")), Endpoint(status(500, "boom")), max_retries=1) as model:
            assert set(await spread(model, [f"s{number}" for number in range(10)])) == {502}
            reply = await post(model, "/v1/responses", {"input": "u"})
            assert reply.json()["cause"]["body"] == "boom"

    asyncio.run(work())


def test_too_many_requests_are_not_carried_to_the_other_endpoint() -> None:
    async def work() -> None:
        busy = [Endpoint(status(429, "later", retry_after="0.01")) for _ in range(2)]
        async with at(*busy, max_retries=2) as model:
            assert await spread(model, ["s"]) == [429]
        assert sorted(len(endpoint.seen) for endpoint in busy) == [0, 3]

    asyncio.run(work())


@pytest.mark.parametrize("by_caller", [True, False])
def test_the_deadline_holds_over_both_calls(by_caller: bool) -> None:
    async def slowly(request: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response(
            body=TOKENS if request.path == "/tokenize" else dumped(WITH_IDS), content_type="application/json"
        )

    async def work() -> Reply:
        async with at(Endpoint(slowly), training=True, timeout_seconds=30 if by_caller else 0.3) as model:
            deadline = time.monotonic() + 0.3 if by_caller else None
            return await model.handle(Call("/v1/responses", b'{"input":"u"}', deadline=deadline))

    reply = asyncio.run(work())
    assert (reply.status, reply.json()["cause"]["path"]) == (504, "/tokenize")


def test_audio_of_a_row_goes_into_the_chat_and_out_of_the_metadata() -> None:
    uri = "data:audio/wav;base64,QUFB"
    for more in ({}, {"other": "x"}):
        endpoint = Endpoint(PLAIN)
        assert ask(endpoint, {"input": "u", "metadata": {"audio_data": uri, **more}}).status == 200
        (message,) = sent(endpoint)["messages"]
        assert message["content"] == [{"type": "audio_url", "audio_url": {"url": uri}}, {"type": "text", "text": "u"}]
        assert sent(endpoint).get("metadata", {}) == more
    assert ask(Endpoint(PLAIN), {"input": "u", "metadata": {"audio_path": "a.wav"}}).status == 422
