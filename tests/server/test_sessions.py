"""A session is kept by one process; what that process lost is said, not judged."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from gymctl.assets import folder
from gymctl.server import Call, Client, LocalTransport, Reply
from gymctl.server.base import Server
from gymctl.server.run.loader import load_server_class
from gymctl.server.settings import settings_from_mapping

NAME = "counter"
ROW = {"responses_create_params": {"input": "count"}, "initial_count": 3, "expected_count": 3}
VERDICT = {**ROW, "response": {"output": []}}


def started() -> Server:
    where: Path = folder("services") / "resources_servers" / "example_session_state_mgmt"
    config = {NAME: {"resources_servers": {where.name: {"host": "127.0.0.1", "port": 1, "entrypoint": "app.py"}}}}
    return load_server_class(where, "app.py")(settings_from_mapping(config, NAME), Client(LocalTransport({})))


def called(server: Server, path: str, body: object, cookies: dict[str, str]) -> Reply:
    return asyncio.run(server.handle(Call(path, json.dumps(body).encode(), "POST", cookies)))


def test_a_server_started_again_refuses_sessions_it_does_not_remember() -> None:
    before, after = started(), started()
    cookies = called(before, "/seed_session", ROW, {}).cookies
    assert called(before, "/verify", VERDICT, cookies).json()["reward"] == 1.0
    for path, body in (("/verify", VERDICT), ("/get_counter_value", {})):
        reply = called(after, path, body, cookies)
        assert reply.status == 503
        assert "state is lost" in reply.json()["detail"]
        assert reply.json()["cause"]["hop"] == NAME


def test_an_episode_may_begin_with_a_cookie_from_before() -> None:
    before, after = started(), started()
    old = called(before, "/seed_session", ROW, {}).cookies
    new = called(after, "/seed_session", ROW, old).cookies
    assert new != old
    assert called(after, "/verify", VERDICT, new).json()["reward"] == 1.0


def test_a_session_may_begin_with_a_tool() -> None:
    server = started()
    cookies = called(server, "/increment_counter", {"count": 2}, {}).cookies
    assert called(server, "/get_counter_value", {}, cookies).json() == {"count": 2}
