"""How many rollouts may be in flight: a fixed number, or one that adapts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

START = 16
CAP = 1024


class ConcurrencyLimit(Protocol):
    """The current limit, and the events it adapts to."""

    now: int

    def succeeded(self, in_flight: int) -> None:
        """A rollout ended well while ``in_flight`` were running, itself included."""

    def refused(self) -> None:
        """A server reported or showed overload."""


class Fixed:
    """A fixed number chosen by the user."""

    def __init__(self, number: int) -> None:
        self.now = number

    def succeeded(self, in_flight: int) -> None:
        """Do nothing."""

    def refused(self) -> None:
        """Do nothing."""


class Adaptive:
    """Additive increase, multiplicative decrease, judged by throughput.

    It looks at windows of as many completions as are allowed in flight. While a window that used the whole limit
    finishes more per second than the last one did, the limit grows: doubling at first, by an eighth later. By Little's
    law a throughput that does not grow with the number in flight means that latency grows instead, so the limit then
    goes back to where it was and rests for some windows before it probes again. A refusal (429, 503, a failed
    connection, a timeout) takes the limit to seven tenths, once per window.
    """

    def __init__(self, clock: Callable[[], float], start: int = START, cap: int = CAP) -> None:
        self.now = start
        self._clock = clock
        self._cap = cap
        self._doubling = True
        self._before = (start, 0.0)  # the limit and rate before the last increase
        self._rest = 0
        self._open_window()

    def _open_window(self) -> None:
        self._since = self._clock()
        self._done = 0
        self._saturated = False
        self._refused = False

    def succeeded(self, in_flight: int) -> None:
        """Count a success; adjust the limit at the end of a window."""
        self._done += 1
        self._saturated = self._saturated or in_flight >= self.now
        if self._done >= self.now:
            self._close_window()

    def refused(self) -> None:
        """Back off, once per window."""
        if not self._refused:
            self.now = max(1, self.now * 7 // 10)
            self._doubling = False
            self._before = (self.now, 0.0)
            self._open_window()
            self._refused = True

    def _close_window(self) -> None:
        rate = self._done / max(1e-6, self._clock() - self._since)
        if self._saturated and not self._refused:
            self._climb(rate)
        self._open_window()

    def _climb(self, rate: float) -> None:
        limit, best = self._before
        if self._rest:
            self._rest -= 1
            if not self._rest:
                self._step(rate)
        elif rate > best * (1.2 if self._doubling else 1.02):
            self._step(rate)
        else:
            self.now = max(limit, 1)
            self._rest = 8
            self._doubling = False

    def _step(self, rate: float) -> None:
        self._before = (self.now, rate)
        if self._doubling:
            more = self.now
        else:
            more = max(1, self.now // 8)
        self.now = min(self._cap, self.now + more)
