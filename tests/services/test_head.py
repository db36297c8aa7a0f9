"""The head, and what other machines tell it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from gymctl import assets
from gymctl.server import Call, Client, LocalTransport, Server
from gymctl.server.run.loader import load_server_class
from gymctl.server.settings import settings_from_mapping

GET = ("/nodes", "/server_instances", "/global_config_dict_yaml")


def a_head() -> Server:
    cls = load_server_class(assets.folder("services") / "head", "app.py")
    return cls(settings_from_mapping({"head_server": {"token": "t"}}, "head_server"), Client(LocalTransport({})))


async def register(head: Server, url: str) -> Any:
    server = {"name": "policy", "kind": "responses_api_models", "implementation": "openai_model", "url": url}
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
