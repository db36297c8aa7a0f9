"""State of each agent's endpoint in the collector: its retry budget, and whether all its calls are failing."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable

from gymctl.rollouts.failures import Failure, FailureEvidence
from gymctl.rollouts.remedies import remedy
from gymctl.server.calls.client import NO_ANSWER

# One retry per ten successes, and some to start with: a failing endpoint is not hit with more than it can bear.
BUDGET_FLOOR = 32.0
BUDGET_RATIO = 0.1
TRIES_ON_THE_SPOT = 4
BAD_STREAK = 5
_PAUSE_START_S = 0.25
_PAUSE_CAP_S = 10.0
# An environment's own errors are not cured by waiting: probe fast, so that a broken verifier shows itself in seconds.
_PAUSE_CAP_ERROR_S = 0.5
# Seconds of nothing but failures of one cause after which the run is stopped: no row is to blame, and waiting is no
# cure. Longer where it worked before, since then it may pass.
_SETUP_S = 3.0
_SETUP_WORKED_S = 60.0
_UNIFORM_S = 30.0
_WAITS_S = {"connect": 15.0, "reset": 60.0, NO_ANSWER: 60.0}


def backoff_s(tries: int, retry_after: float | None = None, cap: float | None = None) -> float:
    """Seconds to wait after ``tries`` failures: doubling with jitter, and never less than the server asked for."""
    pause = min(cap or _PAUSE_CAP_S, _PAUSE_START_S * 2.0 ** min(tries - 1, 16))
    jittered: float = pause * random.uniform(0.5, 1.0)  # noqa: S311
    return max(jittered, min(retry_after, 60.0) * random.uniform(1.0, 1.1)) if retry_after else jittered  # noqa: S311


class Agent:
    """One agent's endpoint.

    After five failures in a row it is suspect: one rollout at a time goes through as a probe, with growing pauses
    between, until one succeeds. All others wait, so that an outage costs a few attempts instead of thousands.
    """

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.worked = False
        """Whether any of its rollouts has succeeded, including earlier runs."""
        self.in_hand = self.in_flight = 0
        self.suspect_since: float | None = None
        self.last_failure: Failure | None = None
        self._clock = clock
        self._tokens = BUDGET_FLOOR
        self._streak = self._rounds = 0
        self._streak_since = self._paused_until = 0.0
        self._probing = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def suspect(self) -> bool:
        """Whether all its calls are failing."""
        return self.suspect_since is not None

    @property
    def engaged(self) -> bool:
        """Whether any rollout is waiting for it, running on it or pausing between two tries."""
        return bool(self.in_hand or self._probing or self._waiting)

    @property
    def due(self) -> bool:
        """Whether a call made now would not have to wait."""
        return not self.suspect or (not self._probing and self._clock() >= self._paused_until)

    def dead_for(self, now: float) -> float:
        """Seconds during which only probes ran and all failed; 0 while another call may still succeed."""
        if self.suspect_since is not None:
            if self.in_flight > 1:
                return 0.0
            return now - self.suspect_since
        # the few that failed all rest before their next try, as long as the server asked for
        if self._streak and not self.in_flight:
            return now - self._streak_since
        return 0.0

    def patience_s(self, stall_s: float) -> float:
        """Seconds without a success after which the agent counts as dead, at most ``stall_s``."""
        if self.last_failure is None:
            return stall_s
        return min(stall_s, self._longest_wait_s(self.last_failure))

    def _longest_wait_s(self, failure: Failure) -> float:
        """Seconds that failures of one kind may last if nothing indicates that they are temporary."""
        if failure.of_the_setup:
            return _SETUP_WORKED_S if self.worked else _SETUP_S
        if self.worked:
            return math.inf
        if failure.hop != self.name:
            limit = _WAITS_S.get(failure.failure_class)
            if limit is not None:
                return limit
        if failure.evidence is FailureEvidence.FINAL:
            return _UNIFORM_S
        return math.inf

    @property
    def last_words(self) -> str:
        """Its last failure, and how to fix it if that is known."""
        if self.last_failure is None:
            return self.name
        if self.worked and not self.last_failure.of_the_setup:
            cure = ""
        else:
            cure = remedy(self.last_failure)
        if cure:
            return f"{self.last_failure.message}; {cure}"
        return self.last_failure.message

    def take_token(self) -> bool:
        """Use one retry of the budget, if there is one."""
        if self._tokens < 1 or self.suspect:
            return False
        self._tokens -= 1
        return True

    async def admit(self, halted: asyncio.Event) -> bool:
        """Wait until a call may be made (or the run halts). True when that call is the probe of a suspect agent."""
        while self.suspect and not halted.is_set():
            if self._probing:
                waiter = asyncio.get_running_loop().create_future()
                self._waiting.append(waiter)
                await waiter
                continue
            self._probing = True
            if not await halts_within(halted, self._paused_until - self._clock()):
                return True
        return False

    def succeeded(self) -> None:
        """Record a successful rollout."""
        self.worked = True
        self._tokens = min(10 * BUDGET_FLOOR, self._tokens + BUDGET_RATIO)
        self.answered()

    def answered(self) -> None:
        """Record an answer that is not a result: the endpoint works."""
        self._streak = self._rounds = 0
        if self.suspect:
            self.suspect_since = None
            self.wake()

    def failed(self, failure: Failure, probe: bool) -> float | None:
        """Record a failure that the endpoint may have caused. Returns the pause in seconds when one starts or grows."""
        final = failure.evidence is FailureEvidence.FINAL
        before, self.last_failure = self.last_failure, failure
        if final and before is not None and before.kind != failure.kind:
            self.answered()  # it does not fail throughout in one way: that is the rows' doing
        if not self._streak:
            self._streak_since = self._clock()
        self._streak += 1
        if self.suspect and not probe:
            return None
        if not self.suspect:
            if self._streak < BAD_STREAK:
                return None
            self.suspect_since = self._streak_since
        self._rounds += 1
        if final or failure.failure_class == "server_error":
            cap = _PAUSE_CAP_ERROR_S
        else:
            cap = _PAUSE_CAP_S
        pause = backoff_s(self._rounds, failure.retry_after, cap)
        self._paused_until = self._clock() + pause
        return pause

    def probe_over(self) -> None:
        """Record the end of the probe, whatever its outcome, so that the next call in line can start."""
        self._probing = False
        self.wake(1)

    def wake(self, number: int | None = None) -> None:
        """Wake this many waiting calls; all of them without a number."""
        while self._waiting and number != 0:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if number is None:
                    number = None
                else:
                    number = number - 1


async def halts_within(halted: asyncio.Event, seconds: float) -> bool:
    """Sleep; returns True early when the run halts."""
    if seconds <= 0:
        return halted.is_set()
    try:
        await asyncio.wait_for(halted.wait(), seconds)
    except TimeoutError:
        return False
    return True
