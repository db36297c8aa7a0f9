"""A server that is asked to end keeps its sessions and sends new ones to other replicas."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gymctl.server.asgi import Application
from gymctl.server.message import NOT_TAKEN_HEADER, Call
from gymctl.server.run.draining import watch_for_drain
from gymctl.server.sessions import ABANDONED_S, SessionStore
from gymctl.server.testing import episode

pytestmark = pytest.mark.unit

FOLDER = Path(__file__).parents[2] / "services" / "resources_servers" / "example_session_state_mgmt"
DEADLINE = 1e12


def test_new_sessions_go_elsewhere_and_old_ones_continue() -> None:
    with episode(FOLDER) as before, episode(FOLDER) as after:
        assert before.seed({"initial_count": 3}).status == 200
        before.server.sessions.refuses_new = True
        assert before.tool("get_counter_value")["count"] == 3

        def seed(**call: Any) -> tuple[int, bool]:
            reply = before._runner.run(before.server.handle(Call("/seed_session", b'{"initial_count":1}', **call)))
            return reply.status, NOT_TAKEN_HEADER in reply.headers

        assert seed(deadline=DEADLINE) == (503, True)
        assert seed() == (200, False), "a caller that would take it for an error is served"
        assert after.seed({"initial_count": 1}).status == 200


def test_sessions_without_a_call_for_minutes_are_not_waited_for() -> None:
    now = 1000.0
    store = SessionStore("cookie", clock=lambda: now)
    first = store.open(None)
    store.open(None)
    assert (len(store), store.in_use) == (2, 2)
    now += ABANDONED_S - 1
    store.open(first.cookie)
    now += 5
    assert (len(store), store.in_use) == (2, 1)
    store.end(first)
    assert (len(store), store.in_use) == (1, 0)


def test_the_number_of_sessions_is_shown_once_it_is_asked_for(tmp_path: Path) -> None:
    request = tmp_path / "drain"
    report = tmp_path / "sessions"
    request.touch()  # of an earlier process
    store = SessionStore("cookie")
    store.open(None)

    async def run() -> None:
        watching = asyncio.create_task(
            watch_for_drain(store, keeps_sessions=True, request=request, report=report, every_s=0.001)
        )
        while not report.exists():
            await asyncio.sleep(0.001)
        assert not store.is_draining
        assert (report.read_text(), request.exists()) == ("", False)
        request.touch()
        while report.read_text() != "1":
            await asyncio.sleep(0.001)
        assert store.is_draining
        assert store.refuses_new
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    asyncio.run(run())


def test_a_server_without_sessions_asks_callers_to_connect_again_only(tmp_path: Path) -> None:
    store = SessionStore("cookie")
    store.open(None)
    report = tmp_path / "sessions"

    async def run() -> None:
        watching = asyncio.create_task(
            watch_for_drain(store, keeps_sessions=False, request=tmp_path / "drain", report=report, every_s=0.001)
        )
        while not report.exists():
            await asyncio.sleep(0.001)
        (tmp_path / "drain").touch()
        while report.read_text() != "0":
            await asyncio.sleep(0.001)
        watching.cancel()

    asyncio.run(run())
    assert (store.is_draining, store.refuses_new) == (True, False)


@pytest.mark.parametrize("is_draining", [False, True])
def test_a_connection_ends_with_the_next_reply_of_a_server_that_drains(is_draining: bool) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    with episode(FOLDER) as one:
        one.server.sessions.is_draining = is_draining
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "server": ("127.0.0.1", 80)}
        one._runner.run(Application(one.server)(scope, receive, send))
    assert sent[0]["status"] == 200
    assert ((b"connection", b"close") in sent[0]["headers"]) is is_draining


def test_a_link_in_place_of_the_report_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("theirs")
    report = tmp_path / "sessions"
    report.symlink_to(target)

    async def run() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await watch_for_drain(
                    SessionStore("c"), keeps_sessions=True, request=tmp_path / "d", report=report, every_s=0.001
                )

    asyncio.run(run())
    assert target.read_text() == "theirs"
