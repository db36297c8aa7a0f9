"""Deadlines shared by many calls."""

from __future__ import annotations

import asyncio
import time

import pytest

from gymctl.server.calls.deadlines import Deadlines


def test_a_deadline_that_passes_ends_the_wait_with_a_timeout() -> None:
    async def wait() -> float:
        started = time.monotonic()
        with pytest.raises(TimeoutError), Deadlines().until(started + 0.05):
            await asyncio.sleep(5)
        return time.monotonic() - started

    assert 0.04 < asyncio.run(wait()) < 0.5


def test_a_deadline_that_has_passed_ends_the_wait_at_once() -> None:
    async def wait() -> None:
        with pytest.raises(TimeoutError), Deadlines().until(time.monotonic() - 1):
            await asyncio.sleep(5)

    asyncio.run(wait())


def test_the_task_goes_on_after_a_timeout_and_after_a_call_in_time() -> None:
    async def wait() -> str:
        deadlines = Deadlines()
        with pytest.raises(TimeoutError), deadlines.until(time.monotonic() + 0.02):
            await asyncio.sleep(5)
        with deadlines.until(time.monotonic() + 0.05):
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        task = asyncio.current_task()
        assert task
        assert task.cancelling() == 0
        return "went on"

    assert asyncio.run(wait()) == "went on"


def test_each_of_many_calls_keeps_its_own_deadline() -> None:
    async def call(deadlines: Deadlines, seconds: float) -> bool:
        try:
            with deadlines.until(time.monotonic() + seconds):
                await asyncio.sleep(0.15)
        except TimeoutError:
            return False
        return True

    async def wait() -> list[bool]:
        deadlines = Deadlines()
        return await asyncio.gather(*(call(deadlines, seconds) for seconds in [0.02, 5, 0.03, 60] * 50))

    assert asyncio.run(wait()) == [False, True, False, True] * 50


def test_a_cancellation_from_outside_stays_a_cancellation() -> None:
    async def inner(deadlines: Deadlines) -> None:
        with deadlines.until(time.monotonic() + 60):
            await asyncio.sleep(5)

    async def wait() -> None:
        task = asyncio.create_task(inner(Deadlines()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(wait())


def test_an_error_of_the_call_itself_is_kept() -> None:
    async def wait() -> None:
        with pytest.raises(ValueError, match="own"), Deadlines().until(time.monotonic() + 60):
            raise ValueError("own")

    asyncio.run(wait())
