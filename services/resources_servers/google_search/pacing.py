"""Limit calls per second: each caller gets the time to wait for its turn."""

from __future__ import annotations

import time


class Pace:
    """A bucket of tokens: ``burst`` calls at once, then ``rate`` a second."""

    def __init__(self, rate: float, burst: float) -> None:
        self._gap = 1.0 / rate
        self._slack = (max(1.0, burst) - 1.0) * self._gap
        self._next = 0.0

    def turn(self, patience: float, now: float | None = None) -> float | None:
        """Take the next turn: the seconds to wait for it; None, and no turn taken, when that is above ``patience``."""
        if now is None:
            now = time.monotonic()
        start = max(self._next, now - self._slack)
        wait = max(0.0, start - now)
        if wait > patience:
            return None
        self._next = start + self._gap
        return wait
