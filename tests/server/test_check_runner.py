"""Checks in processes of their own: their answers, their limits, and what becomes of those that misbehave."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import check_functions
import pytest

from gymctl.server import Client, HopFailed, LocalTransport, ResourcesServer, Settings
from gymctl.server.checks import runner
from gymctl.server.checks.forked_call import ProcessLimits, run_limited
from gymctl.server.checks.runner import Work
from gymctl.server.checks.worker_pool import CheckFailed, Pool

pytestmark = [pytest.mark.enable_socket, pytest.mark.processes]

MEMORY = 512 << 20


def in_pool(use: Callable[[Pool], Awaitable[Any]], workers: int = 2) -> Any:
    async def run() -> Any:
        pool = Pool(workers, memory=MEMORY)
        try:
            return await use(pool)
        finally:
            await pool.close()

    return asyncio.run(run())


def test_values_come_back_and_processes_are_kept() -> None:
    async def use(pool: Pool) -> None:
        sums = await asyncio.gather(*(pool.run(check_functions.add, (n, 1), 5) for n in range(200)))
        assert sums == list(range(1, 201))
        processes = {await pool.run(check_functions.own_process, (), 5) for _ in range(20)}
        assert len(processes) == 1
        assert os.getpid() not in processes

    in_pool(use)


@pytest.mark.parametrize(
    ("function", "arguments", "reason", "says"),
    [
        (check_functions.sleep, (60,), "overran", "stopped after 0.5 s"),
        (check_functions.hang_in_c, (), "overran", "stopped after 0.5 s"),
        (check_functions.leave_a_child_behind, (), "overran", "stopped"),
        (check_functions.end_suddenly, (), "died", "process running the check ended"),
        (check_functions.complain, ("no",), "raised", "ValueError: no"),
        (check_functions.leave, (), "raised", "SystemExit: 3"),
        (check_functions.take, (1 << 30,), "raised", "MemoryError"),
        (check_functions.unsendable, (), "raised", "cannot be sent"),
    ],
)
def test_a_check_that_misbehaves_costs_itself_only(
    function: Callable[..., Any], arguments: tuple[Any, ...], reason: str, says: str
) -> None:
    async def use(pool: Pool) -> None:
        began = time.monotonic()
        with pytest.raises(CheckFailed, match=says) as caught:
            await pool.run(check_functions.add, (1, 2), 5)
            began = time.monotonic()
            await pool.run(function, arguments, 0.5 if reason == "overran" else 60)
        assert caught.value.reason == reason
        assert time.monotonic() - began < 30
        assert await pool.run(check_functions.add, (1, 2), 5) == 3
        for _ in range(100):  # a busy machine takes a while to reap what was killed
            if not check_functions.children_named("600.713"):
                break
            await asyncio.sleep(0.05)
        assert not check_functions.children_named("600.713")

    in_pool(use, workers=1)


def test_a_caller_who_goes_frees_the_place() -> None:
    async def use(pool: Pool) -> None:
        asked = asyncio.create_task(pool.run(check_functions.sleep, (60,), 60))
        await asyncio.sleep(0.3)
        asked.cancel()
        assert await pool.run(check_functions.add, (1, 2), 5) == 3

    in_pool(use, workers=1)


def test_the_process_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_API_KEY", "sk-planted")
    monkeypatch.setenv("NEMO_GYM_CONFIG_DICT", "policy_api_key: sk-planted")
    seen = in_pool(lambda pool: pool.run(check_functions.environment, (), 5))
    assert "sk-planted" not in str(seen)
    assert seen["PATH"] == os.environ["PATH"]


def test_nothing_runs_before_the_first_check_and_nothing_after_the_end() -> None:
    async def run() -> list[int]:
        pool = Pool(2)
        await pool.close()
        used = Pool(2)
        process = await used.run(check_functions.own_process, (), 5)
        await used.close()
        return [process]

    (process,) = asyncio.run(run())
    for _ in range(100):
        if not Path(f"/proc/{process}").exists():
            return
        time.sleep(0.02)
    pytest.fail("a worker outlived its pool")


def test_what_is_no_modules_function_is_refused() -> None:
    with pytest.raises(TypeError, match="not a module-level function"):
        in_pool(lambda pool: pool.run(lambda: 1, (), 5))


def test_too_many_waiting_checks_are_refused_with_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MOST_WAITING", 2)
    server = ResourcesServer(Settings("maths", "resources_servers", "maths", "", 1, {}), Client(LocalTransport({})))

    async def run() -> HopFailed:
        checks = Work(server, processes=1)
        waiting = [asyncio.create_task(checks.run(check_functions.sleep, 0.3, seconds=5)) for _ in range(2)]
        await asyncio.sleep(0)
        try:
            with pytest.raises(HopFailed, match="maths has 2 checks waiting") as caught:
                await checks.run(check_functions.add, 1, 2, seconds=5)
            await asyncio.gather(*waiting)
            done = await checks.run(check_functions.add, 1, 2, seconds=5)
            assert (done.value, done.place, done.reply_fields, done.told) == (3, None, {}, {})
        finally:
            await checks.close()
        return caught.value

    refused = asyncio.run(run())
    assert (refused.status, refused.retry_after) == (503, 1.0)


@pytest.mark.parametrize(
    ("function", "arguments", "outcome"),
    [
        (check_functions.add, (1, 2), ("value", 3)),
        (check_functions.sleep, (60,), ("overran", None)),
        (check_functions.hang_in_c, (), ("overran", None)),
        (check_functions.end_suddenly, (), ("died", None)),
        (check_functions.complain, ("no",), ("raised", "ValueError: no")),
        (check_functions.take, (1 << 30,), ("raised", "MemoryError: ")),
    ],
)
def test_the_same_in_a_child_of_a_process_that_is_not_ours(
    function: Callable[..., Any], arguments: tuple[Any, ...], outcome: tuple[str, Any]
) -> None:
    before = _children()
    if outcome[0] == "overran":
        seconds = 0.5
    else:
        seconds = 60
    assert run_limited(function, arguments, ProcessLimits(seconds, MEMORY, ())) == outcome
    assert _children() <= before


def _children() -> set[int]:
    """The child processes of this one, of which other tests may have left some."""
    threads = Path("/proc/self/task").iterdir()
    return {int(pid) for thread in threads for pid in (thread / "children").read_text().split()}
