"""The head, and what other machines tell it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
import yaml

from gymctl import assets
from gymctl.server import Call, Client, LocalTransport, Server
from gymctl.server.run.loader import load_server_class
from gymctl.server.settings import settings_from_mapping

GET = ("/nodes", "/server_instances", "/global_config_dict_yaml")


def a_head(servers: dict[str, Any] | None = None) -> Server:
    cls = load_server_class(assets.folder("services") / "head", "app.py")
    whole = {"head_server": {"token": "t"}, **(servers or {})}
    return cls(settings_from_mapping(whole, "head_server"), Client(LocalTransport({})))


async def register(head: Server, url: str, kind: str = "responses_api_models") -> Any:
    server = {"name": "policy", "kind": kind, "implementation": "openai_model", "url": url}
    body = orjson.dumps({"token": "t", "node": "gpu1", "servers": [server]})
    return await head.handle(Call("/nodes", body))


@pytest.mark.enable_socket
@pytest.mark.parametrize("url", ["http://10.0.0.2:99999", "http://fd00::1:8081", "http://10.0.0.2:0", "http://:80"])
def test_an_address_that_is_none_is_refused_and_hurts_nobody(url):
    async def work() -> tuple[int, set[int]]:
        head = a_head()
        await head.startup()
        try:
            refused = await register(head, url)
            assert b"url" in refused.body
            return refused.status, {(await head.handle(Call(path, method="GET"))).status for path in GET}
        finally:
            await head.shutdown()

    assert asyncio.run(work()) == (422, {200})


def test_watching_goes_on_after_a_look_that_failed(monkeypatch, caplog):
    async def work() -> int:
        head = a_head()
        monkeypatch.setitem(type(head)._watch_all.__globals__, "POLL_S", 0.01)
        looks = []

        async def look() -> None:
            looks.append(1)
            if len(looks) == 1:
                raise RuntimeError("no table")

        head._look = look
        await head.startup()
        await asyncio.sleep(0.2)
        await head.shutdown()
        return len(looks)

    assert asyncio.run(work()) > 2
    assert "no table" in caplog.text


async def status_of(head: Server, path: str) -> int:
    return (await head.handle(Call(path, method="GET"))).status


async def environment_servers(head: Server) -> dict[str, Any]:
    """What the head's dict has of them, by name."""
    values = yaml.safe_load(orjson.loads((await head.handle(Call("/global_config_dict_yaml", method="GET"))).body))
    entries = ((name, value) for name, value in values.items() if "environment_servers" in (value or {}))
    return {name: value["environment_servers"]["legacy_agent"] for name, value in entries}


def test_it_is_ready_once_every_server_has_answered_and_alive_at_once():
    async def work() -> list[int]:
        head = a_head({"policy": {"responses_api_models": {"m": {"host": "127.0.0.1", "port": 9}}}})
        await head.startup()
        try:
            statuses = [await status_of(head, path) for path in ("/livez", "/readyz", "/healthz", "/health")]
            head.client = Client(LocalTransport({"policy": head}))  # whoever answers is up
            statuses.append(await status_of(head, "/readyz"))
            head.client = Client(LocalTransport({}))
            return [*statuses, await status_of(head, "/readyz")]
        finally:
            await head.shutdown()

    assert asyncio.run(work()) == [200, 503, 503, 503, 200, 200]


def test_an_agent_that_registers_is_fronted_as_those_of_the_stack_are():
    fields = {"entrypoint": "app.py", "host": "10.0.0.1", "port": 8081}

    async def work() -> tuple[dict[str, Any], dict[str, Any]]:
        head = a_head({"math_agent": {"responses_api_agents": {"simple_agent": fields}}})
        await head.startup()
        try:
            before = await environment_servers(head)
            await register(head, "http://10.0.0.2:8082", kind="responses_api_agents")
            return before, await environment_servers(head)
        finally:
            await head.shutdown()

    before, after = asyncio.run(work())
    assert before.keys() == {"math_environment_server"}
    assert after["math_environment_server"] == before["math_environment_server"]
    relay = after["policy_environment_server"]
    assert (relay["host"], relay["port"]) == ("10.0.0.2", 8082)
