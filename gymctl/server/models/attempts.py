"""Further attempts at calls that failed: whether, when, and at which backends not."""

from __future__ import annotations

import time

from gymctl.server.calls.client import NO_ANSWER, HopFailed
from gymctl.server.models.affinity import Affinity, Backend

TRY_AGAIN = frozenset({409, 429, 500, 502, 503, 504, 520, 529})
LONGEST_WAIT_S = 30.0  # to sit out a Retry-After here; a longer one is the caller's to decide about
REMOVED = "removed"  # the endpoint was taken off the list while it was called: a failure that no caller sees


class Decision:
    """Whether a failed call is tried again, when, and by which backends not."""

    def __init__(self, retries: int, affinity: Affinity, until: float) -> None:
        self._retries = retries
        self._affinity = affinity
        self._until = until
        self._first: HopFailed | None = None
        self.avoided: list[Backend] = []

    def note(self, backend: Backend, failed: HopFailed) -> None:
        """Take a failure of a backend into account."""
        self._first = self._first or failed
        if failed.status != 429 and backend not in self.avoided:
            self.avoided.append(backend)

    def wait_for(self, error: Exception) -> bool | float:
        """For stamina: seconds to wait, True for its own choice, False for no further attempt."""
        if not isinstance(error, HopFailed) or not worth_another(error):
            return False
        # another's trouble is not the others'
        elsewhere = error.status != 429 and any(item not in self.avoided for item in self._affinity.backends)
        if error.kind == REMOVED or (elsewhere and error.kind in ("connect", "reset")):
            return 0.0  # nothing answered, or the list has changed: finding an endpoint that answers uses no retry
        self._retries -= 1
        wait = self._wait(error, elsewhere=elsewhere)
        may_wait = self._retries >= 0 and wait < min(LONGEST_WAIT_S, self._until - time.monotonic())
        return may_wait and wait

    def _wait(self, error: HopFailed, *, elsewhere: bool) -> bool | float:
        """Seconds to wait before a retry, True for stamina's own choice; none where another backend takes over."""
        if elsewhere or (error is self._first and error.kind == "reset"):
            return 0.0  # a connection that broke was most likely a pooled one that the endpoint had closed
        if error.retry_after is None:
            return True
        return error.retry_after


def worth_another(failed: HopFailed) -> bool:
    """Whether the same call may succeed a moment later: too many calls, a server's fault, a reply without an answer."""
    if failed.kind == "status":
        return failed.status in TRY_AGAIN
    return failed.kind in ("connect", "reset", NO_ANSWER, REMOVED)
