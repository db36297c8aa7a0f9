"""Deadlines of many calls at once, for the price of a set: calls that end at about the same time share one timer."""

from __future__ import annotations

import asyncio
import math
import time

from gymctl.server.calls.interruption import InterruptibleCall

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
            call.interrupt()


class _Until(InterruptibleCall):
    """One call's stay among those of the same due time."""

    __slots__ = ()

    def reason(self) -> Exception:
        """The deadline has passed."""
        return TimeoutError()
