"""The endpoints of a running model server are replaced, again and again, while rollouts are under way."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gymctl.config import load_config
from gymctl.engines.local.addresses import plan_addresses
from gymctl.engines.local.servers import LocalStack, build_stack, running

pytestmark = pytest.mark.processes

TOKEN = "a-token"
AGENT = "example_single_tool_call_simple_agent"
ROW = {
    "responses_create_params": {
        "input": "What is the weather in Oslo?",
        "tools": [{"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}],
    }
}
CHANGES = 50
ROLLOUTS = int(os.environ.get("GYMCTL_POLICY_ROLLOUTS", "300"))
TOGETHER = 32


@dataclass
class Rank:
    """An endpoint of a trainer; each of its answers names itself."""

    number: int
    url: str = ""
    answers: dict[str, float] = field(default_factory=dict)
    """When each answer was given, by its number."""

    async def answer(self, request: web.Request) -> web.Response:
        """A tool call first, then a sentence; slowly, so that changes meet calls under way."""
        messages = (await request.json())["messages"]
        await asyncio.sleep(random.uniform(0.0, 0.03))
        name = f"{self.number}-{len(self.answers)}"
        self.answers[name] = time.monotonic()
        if messages[-1]["role"] == "tool":
            message: dict[str, Any] = {"role": "assistant", "content": name}
        else:
            function = {"name": "get_weather", "arguments": json.dumps({"city": name})}
            call = {"id": f"call_{name}", "type": "function", "function": function}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        finish = "stop" if message["content"] else "tool_calls"
        choice = {"index": 0, "finish_reason": finish, "message": message}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response(
            {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        )


@asynccontextmanager
async def ranks(count: int) -> AsyncIterator[list[Rank]]:
    async with AsyncExitStack() as stack:
        started = []
        for number in range(count):
            rank = Rank(number)
            application = web.Application()
            application.router.add_post("/v1/chat/completions", rank.answer)
            runner = web.AppRunner(application, shutdown_timeout=0.05)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            rank.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
            started.append(rank)
        yield started


@asynccontextmanager
async def stack_of(url: str, folder: Path) -> AsyncIterator[LocalStack]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = load_config(
        [
            "+config_paths=[responses_api_models/vllm_model/configs/vllm_model.yaml,"
            "resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml]",
            f"+policy_base_url={url}",
            "+policy_api_key=key",
            "+policy_model_name=m",
            f"+head_server.port={port}",
        ],
        cwd=folder,
        environ={},
    )
    async with running(build_stack(config, plan_addresses(config), TOKEN), listen=True) as stack:
        await listening(stack.addresses["head_server"].port)
        yield stack


async def listening(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


class Trainer:
    """Replaces the list through the head, and remembers which endpoints were listed when."""

    def __init__(self, stack: LocalStack, session: aiohttp.ClientSession, first: Sequence[Rank]) -> None:
        self._url = f"{stack.addresses['head_server'].url}/policy"
        self._session = session
        self.listed = list(first)
        self.gone: dict[int, list[list[float]]] = {}
        """The times at which an endpoint was off the list for certain: from a reply of the head to the next change."""

    async def set(self, listed: Sequence[Rank], **more: Any) -> dict[str, Any]:
        for rank in listed:
            if rank.number in self.gone and len(self.gone[rank.number][-1]) == 1:
                self.gone[rank.number][-1].append(time.monotonic())
        body = {"urls": [rank.url for rank in listed], **more}
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with self._session.post(self._url, json=body, headers=headers) as reply:
            assert reply.status == 200, await reply.text()
            answer: dict[str, Any] = await reply.json()
        removed = [rank for rank in self.listed if rank not in listed]
        for rank in removed:
            self.gone.setdefault(rank.number, []).append([time.monotonic()])
        self.listed = list(listed)
        return answer

    def was_gone(self, rank: Rank, when: float) -> bool:
        spans = self.gone.get(rank.number, [])
        return any(span[0] < when < (span[1] if len(span) > 1 else float("inf")) for span in spans)


def names_of(result: dict[str, Any]) -> list[str]:
    """The answers that a rollout consists of."""
    output = result["response"]["output"]
    called = [json.loads(item["arguments"])["city"] for item in output if item["type"] == "function_call"]
    text = [item["content"][0]["text"] for item in output if item["type"] == "message"]
    return [*called, *text]


def test_no_rollout_is_lost_and_none_is_answered_by_an_endpoint_that_is_gone(tmp_path: Path) -> None:
    async def work() -> None:
        async with ranks(6) as every, stack_of(every[0].url, tmp_path) as stack, aiohttp.ClientSession() as session:
            trainer = Trainer(stack, session, every[:1])
            await trainer.set(every[:1], weight_version="first")
            choices = random.Random(7)
            results: list[dict[str, Any]] = []
            left = iter(range(ROLLOUTS))

            async def collect() -> None:
                for _ in left:
                    reply = await stack.client.post(AGENT, "/run", json.dumps(ROW).encode())
                    assert reply.status == 200, reply.body
                    results.append(reply.json())

            async def change() -> None:
                for number in range(CHANGES):
                    await trainer.set(choices.sample(every, choices.randint(1, 4)), weight_version=str(number))
                    enough = ROLLOUTS * (number + 1) / (CHANGES + 5)
                    while len(results) < enough:
                        await asyncio.sleep(0.005)

            await asyncio.gather(change(), *(collect() for _ in range(TOGETHER)))
            assert len(results) == ROLLOUTS
            used = [name for result in results for name in names_of(result)]
            assert len(used) == 2 * ROLLOUTS
            for name in used:
                rank = every[int(name.split("-")[0])]
                assert not trainer.was_gone(rank, rank.answers[name])
            assert sum(len(rank.answers) for rank in every) >= len(used)
            versions = {result["response"]["metadata"]["weight_version"] for result in results}
            assert len(versions) > 5

    asyncio.run(work())


def test_a_session_stays_at_its_endpoint_while_that_is_listed(tmp_path: Path) -> None:
    async def work() -> None:
        async with ranks(4) as every, stack_of(every[0].url, tmp_path) as stack, aiohttp.ClientSession() as session:
            trainer = Trainer(stack, session, every[:1])
            assert (await trainer.set(every))["processes"] == 1
            body = json.dumps(
                {"model": "m", "input": "hello", "tools": ROW["responses_create_params"]["tools"]}
            ).encode()

            async def used_by(cookies: dict[str, str]) -> int:
                reply = await stack.client.post("policy_model", "/v1/responses", body, cookies=cookies)
                return int(json.loads(reply.json()["output"][-1]["arguments"])["city"].split("-")[0])

            sessions = [(await stack.client.post("policy_model", "/v1/responses", body)).cookies for _ in range(40)]
            before = [await used_by(cookies) for cookies in sessions]
            assert len(set(before)) == 4
            await trainer.set(every[1:])
            after = [await used_by(cookies) for cookies in sessions]
            assert all(old == new for old, new in zip(before, after, strict=True) if old != 0)
            assert 0 not in after
            await trainer.set(every)
            assert [await used_by(cookies) for cookies in sessions] == before

    asyncio.run(work())


def test_changes_need_the_token_and_addresses_that_can_be_called(tmp_path: Path) -> None:
    async def work() -> None:
        async with ranks(1) as every, stack_of(every[0].url, tmp_path) as stack, aiohttp.ClientSession() as session:
            url = f"{stack.addresses['head_server'].url}/policy"
            right = {"authorization": f"Bearer {TOKEN}"}

            async def status(body: dict[str, Any], headers: dict[str, str]) -> tuple[int, str]:
                async with session.post(url, json=body, headers=headers) as reply:
                    return reply.status, await reply.text()

            change = {"urls": [every[0].url]}
            assert (await status(change, {}))[0] == 401
            assert (await status(change, {"authorization": "Bearer another"}))[0] == 401
            wrong: tuple[list[str], ...] = ([], ["10.0.0.1:8000"], ["http://user:secret@10.0.0.1/v1"])
            for urls in wrong:
                assert (await status({"urls": urls}, right))[0] == 422
            code, text = await status({**change, "server": AGENT}, right)
            assert (code, "policy_model" in text) == (422, True)
            async with session.get(url) as reply:
                assert reply.status == 401
            async with session.get(url, headers=right) as reply:
                assert await reply.json() == []
            async with session.get(f"{stack.addresses['head_server'].url}/global_config_dict_yaml") as reply:
                published = await reply.text()
            assert TOKEN not in published
            assert "policy_token" not in published

    asyncio.run(work())
