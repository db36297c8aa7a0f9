"""A session is kept by one process; what that process lost is said, not judged."""

from __future__ import annotations

import asyncio
import json
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.assets import folder
from gymctl.server import (
    Call,
    Client,
    LocalTransport,
    Reply,
    ResourcesServer,
    Session,
    VerifyRequest,
    VerifyResponse,
    tool,
)
from gymctl.server import sessions as sessions_module
from gymctl.server.base import Server
from gymctl.server.run.loader import load_server_class
from gymctl.server.sessions import SessionLostError, SessionStore, cookie_suffix
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


@given(
    st.text(min_size=1, max_size=40, alphabet=st.characters(codec="utf-8")),
    st.text(min_size=1, max_size=40, alphabet=st.characters(codec="utf-8")),
)
def test_any_name_of_a_server_makes_a_valid_and_unambiguous_cookie_name(name: str, other: str) -> None:
    cookies = SimpleCookie()
    cookies[f"Server{cookie_suffix(name)}"] = "id"  # raises where the name is not valid
    assert len(cookies) == 1
    assert cookie_suffix("example_multi-step.1") == "___example_multi-step.1"
    assert (cookie_suffix(name) == cookie_suffix(other)) == (name == other)


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


class ByIdentity(ResourcesServer):
    """Keeps its state as NeMo Gym's own environments do: in a dictionary by the session's id."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.counts: dict[str, int] = {}

    @tool
    async def count(self, session: Session) -> int:
        """One more."""
        self.counts[session.id] = self.counts.get(session.id, 0) + 1
        return self.counts[session.id]

    @tool
    async def add(self, a: int, b: int) -> int:
        """No session needed."""
        return a + b

    async def verify(self, body: VerifyRequest, session: Session) -> VerifyResponse:
        try:
            return VerifyResponse.of(body, self.counts.get(session.id, 0))
        except Exception:  # noqa: BLE001 - an environment that hides what goes wrong
            return VerifyResponse.of(body, 0.0)

    async def close_session(self, session: Session) -> None:
        del self.counts[session.id]


def by_identity() -> ByIdentity:
    config = {NAME: {"resources_servers": {"counting": {"host": "127.0.0.1", "port": 1, "entrypoint": "app.py"}}}}
    return ByIdentity(settings_from_mapping(config, NAME), Client(LocalTransport({})))


def test_a_state_kept_by_the_sessions_id_is_lost_loudly_too() -> None:
    before, after = by_identity(), by_identity()
    cookies = called(before, "/count", {}, {}).cookies
    for path, body in (("/count", {}), ("/verify", VERDICT)):
        reply = called(after, path, body, cookies)
        assert (reply.status, reply.json()["cause"]["kind"]) == (503, "session_lost")
    assert called(after, "/add", {"a": 1, "b": 2}, cookies).json() == 3


def test_a_session_may_begin_with_a_tool_that_needs_none() -> None:
    server = by_identity()
    cookies = called(server, "/add", {"a": 1, "b": 2}, {}).cookies
    assert called(server, "/count", {}, cookies).json() == 1


@pytest.mark.parametrize("path", ["/verify", "/close_session"])
def test_a_session_ends_with_its_verdict_or_on_request(path: str) -> None:
    server = by_identity()
    cookies = called(server, "/seed_session", ROW, {}).cookies
    called(server, "/count", {}, cookies)
    assert called(server, path, VERDICT, cookies).status == 200
    assert server.counts == {}
    assert called(server, "/count", {}, cookies).status == 503
    assert called(server, "/close_session", {}, cookies).status == 200


def test_a_refused_verdict_ends_no_session() -> None:
    server = by_identity()
    cookies = called(server, "/count", {}, {}).cookies
    assert called(server, "/verify", {}, cookies).status == 422
    assert called(server, "/verify", VERDICT, cookies).json()["reward"] == 1.0


def test_a_session_ends_hours_after_it_began() -> None:
    now = 1000.0
    store = SessionStore("cookie", clock=lambda: now)
    old = store.open(None)
    old.state["count"] = 1
    now += 6 * 3600 - 1
    new = store.open(None)
    assert (old.state, len(store), store.open(old.cookie, replaces_lost=True).cookie) == ({"count": 1}, 2, old.cookie)
    now += 2
    assert (len(store), store.in_use, store.holds(old), store.holds(new)) == (1, 1, False, True)
    with pytest.raises(SessionLostError, match="expired"):
        old.check()
    assert store.open(old.cookie, replaces_lost=True).cookie not in (old.cookie, new.cookie)


def test_the_oldest_of_too_many_sessions_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "_MOST_SESSIONS", 3)
    store = SessionStore("cookie")
    opened = [store.open(None) for _ in range(5)]
    assert [store.holds(session) for session in opened] == [False, False, True, True, True]
    store.end(opened[3])
    assert (store.holds(opened[2]), store.holds(store.open(None)), len(store)) == (True, True, 3)
