"""The local engine: a whole stack in one process, with and without ports."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from free_ports import free_port

from gymctl.config import Config, load_config
from gymctl.engines.local.addresses import plan_addresses
from gymctl.engines.local.servers import build_stack, running
from gymctl.errors import ConfigError, EngineError

pytestmark = pytest.mark.processes

ROWS = Path(__file__).parents[2] / "examples/quickstart/rows.jsonl"


def load(tmp_path: Path, *arguments: str) -> Config:
    stack = str(Path(__file__).parents[2] / "examples/quickstart")
    return load_config([stack, f"+head_server.port={free_port()}", *arguments], cwd=tmp_path, environ={})


def test_ten_rollouts_without_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a socket was used"))
    config = load(tmp_path)

    async def rollouts() -> list[dict[str, Any]]:
        async with running(build_stack(config, plan_addresses(config)), listen=False) as stack:
            lines = ROWS.read_bytes().splitlines()
            agents = [json.loads(line)["agent_ref"]["name"] for line in lines]
            replies = [await stack.client.post(agent, "/run", line) for agent, line in zip(agents, lines, strict=True)]
            assert {reply.status for reply in replies} == {200}
            return [reply.json() for reply in replies]

    results = asyncio.run(rollouts())
    assert sum(float(result["reward"]) for result in results) >= 6
    assert all(result["response"]["usage"]["total_tokens"] for result in results)


def test_every_server_listens_and_the_head_knows_them(tmp_path: Path) -> None:
    config = load(tmp_path)

    async def ask() -> None:
        addresses = plan_addresses(config)
        async with (
            running(build_stack(config, addresses), listen=True),
            aiohttp.ClientSession() as session,
        ):
            head = addresses["head_server"].url
            await asyncio.sleep(0.1)
            async with session.get(f"{head}/server_instances") as response:
                instances = await response.json()
            assert {item["process_name"]: item["status"] for item in instances} == dict.fromkeys(
                config.servers, "success"
            )
            assert [len(item) for item in instances] == [13] * len(instances)
            for item in instances:
                assert (Path(item["dir_path"]) / item["entrypoint"]).is_file()
            async with session.get(f"{head}/global_config_dict_yaml") as response:
                assert isinstance(await response.json(), str)
            for item in instances:
                async with session.get(f"{item['url']}/") as response:
                    assert await response.json() == {"status": "ok"}

    asyncio.run(ask())


def test_the_heads_configuration_has_no_secret_in_it(tmp_path: Path) -> None:
    (tmp_path / "env.yaml").write_text(
        "policy_base_url: http://localhost:1/v1\npolicy_api_key: sk-planted-secret\npolicy_model_name: m\n"
    )
    arguments = [
        "responses_api_models/openai_model/configs/openai_model.yaml",
        "resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml",
    ]
    config = load_config(arguments, cwd=tmp_path, environ={})

    async def ask() -> bytes:
        async with running(build_stack(config, plan_addresses(config)), listen=False) as stack:
            return (await stack.client.get("head_server", "/global_config_dict_yaml")).body

    body = asyncio.run(ask())
    assert b"example_single_tool_call" in body
    assert b"sk-planted-secret" not in body


def test_a_taken_port_is_named_with_a_way_out(tmp_path: Path) -> None:
    config = load(tmp_path)

    async def start() -> None:
        async with running(build_stack(config, plan_addresses(config)), listen=True):
            pytest.fail("it started")

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", config.head.port))
        holder.listen()
        with pytest.raises(EngineError, match=rf"port {config.head.port} .*already in use.*head_server.port"):
            asyncio.run(start())


def test_ports_are_distinct_and_given_ones_are_kept(tmp_path: Path) -> None:
    port = free_port()
    config = load(tmp_path, f"++policy_model.responses_api_models.scripted_model.port={port}")
    addresses = plan_addresses(config)
    assert addresses["policy_model"].port == port
    assert len({address.port for address in addresses.values()}) == len(addresses)


def test_an_unknown_implementation_is_located(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "mine:\n  resources_servers:\n    example_single_tool_cal:\n      entrypoint: app.py\n      domain: agent\n"
    )
    config = load_config(["mine.yaml"], cwd=tmp_path, environ={})
    with pytest.raises(
        ConfigError, match=r"mine.yaml:3: mine: no resources_servers/example_single_tool_cal/app.py.*did you mean"
    ):
        build_stack(config, plan_addresses(config))


def test_a_users_own_server_runs_beside_the_bundled_ones(tmp_path: Path) -> None:
    folder = tmp_path / "resources_servers/ten_lines"
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(
        """
from gymctl.server import ResourcesServer, VerifyRequest, VerifyResponse, tool

class TenLines(ResourcesServer):
    @tool
    async def get_weather(self, city: str) -> dict:
        return {"city": city}

    async def verify(self, body: VerifyRequest) -> VerifyResponse:
        return VerifyResponse.of(body, 0.5)

if __name__ == "__main__":
    TenLines.serve()
"""
    )
    (tmp_path / "mine.yaml").write_text(
        "mine:\n  resources_servers:\n    ten_lines: {entrypoint: app.py, domain: agent}\n"
        "mine_agent:\n  responses_api_agents:\n    simple_agent:\n      entrypoint: app.py\n"
        "      resources_server: {type: resources_servers, name: mine}\n"
        "      model_server: {type: responses_api_models, name: policy_model}\n"
    )
    model = "responses_api_models/scripted_model/configs/scripted_model.yaml"
    config = load_config(["mine.yaml", model], cwd=tmp_path, environ={})

    async def ask() -> float:
        async with running(build_stack(config, plan_addresses(config)), listen=False) as stack:
            reply = await stack.client.post("mine_agent", "/run", ROWS.read_bytes().splitlines()[0])
            return float(reply.json()["reward"])

    assert asyncio.run(ask()) == 0.5
