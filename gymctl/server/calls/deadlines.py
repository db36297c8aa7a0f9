"""Deadlines of many calls at once, for the price of a set: calls that end at about the same time share one timer."""

from __future__ import annotations

import asyncio
import math
import time
from types import TracebackType
from typing import Any

# A call may end this many seconds after its deadline; one that has less than ``_SOON_S`` left is held to it closely.
_WIDTH_S = 0.25
_SOON_S = 2.0
_CLOSE_WIDTH_S = 0.01


class Deadlines:
    """``asyncio.timeout_at`` for a hot path.

    A timer of its own for each call costs a tenth of a call to another server, and more the more calls wait; nearly
    all are cancelled unused.
    """

    def __init__(self) -> None:
        self._due: dict[float, set[_Until]] = {}

    def until(self, deadline: float) -> _Until:
        """A context that ends with ``TimeoutError`` when ``deadline`` (on ``time.monotonic()``'s scale) passes."""
        left = deadline - time.monotonic()
        if left > _SOON_S:
            width = _WIDTH_S
        else:
            width = _CLOSE_WIDTH_S
        due = math.ceil(deadline / width) * width
        calls = self._due.get(due)
        if calls is None:
            calls = self._due[due] = set()
            asyncio.get_running_loop().call_later(max(0.0, due - deadline + left), self._expire, due)
        return _Until(calls)

    def _expire(self, due: float) -> None:
        for call in self._due.pop(due):
            call.expire()


class _Until:
    """One call's stay among those of the same due time."""

    __slots__ = ("_calls", "_cancelling", "_expired", "_task")

    def __init__(self, calls: set[_Until]) -> None:
        self._calls = calls
        self._expired = False

    def __enter__(self) -> None:
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("a deadline needs a task to cancel")
        self._cancelling = self._task.cancelling()
        self._calls.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._calls.discard(self)
        task, self._task = self._task, None
        if not self._expired or task is None:
            return
        # As asyncio.timeout does it: a cancellation from elsewhere at the same time stays a cancellation.
        only_ours = task.uncancel() <= self._cancelling
        if only_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error

    def expire(self) -> None:
        """The deadline has passed: interrupt the task where it waits."""
        if self._task is not None:
            self._expired = True
            self._task.cancel()
