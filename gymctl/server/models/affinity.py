"""Which of several equal backends a session's calls go to: always the same one, for its cache, unless that is unwell.

The choice is a hash of the session's id, so all workers of a server make the same one and nothing has to be kept; when
a backend is left out, only its own sessions move.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256

from gymctl.server.models.listed_calls import ListedCalls

# Failures in a row after which a backend is left alone for a while.
_UNWELL = 3

log = logging.getLogger("gymctl.server")


class Backend:
    """One address, and how it has behaved."""

    __slots__ = ("calls", "factor", "failures", "rests_until", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls = ListedCalls()
        self.failures = 0
        self.rests_until = 0.0
        self.factor = int.from_bytes(sha256(self.url.encode()).digest()[:8], "big") | 1  # odd: it keeps keys apart


class Affinity:
    """The backends of one server.

    Args:
        urls: their addresses.
        rest_s: seconds for which a backend that failed three times in a row is avoided; then one call may try it, and
            if that fails too, it rests again.
        clock: seconds that only grow.
    """

    def __init__(self, urls: Sequence[str], rest_s: float = 15.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.backends: Sequence[Backend] = [Backend(url) for url in _distinct(urls)]
        self._rest_s = rest_s
        self._clock = clock
        self._unwell = 0

    def replace(self, urls: Sequence[str]) -> None:
        """Have other addresses. A backend that stays keeps its sessions and what is known of it.

        Calls at a removed backend are interrupted: see ``ListedCalls``.
        """
        listed = _distinct(urls)
        present = {backend.url: backend for backend in self.backends}
        self.backends = [present[url] if url in present else Backend(url) for url in listed]
        self._unwell = sum(backend.failures >= _UNWELL for backend in self.backends)
        for url, backend in present.items():
            if url not in listed:
                backend.calls.remove()

    def choose(self, key: str, but: Collection[Backend] = ()) -> Backend:
        """The backend for a session; not one of ``but`` as long as there is another."""
        if len(self.backends) == 1:
            return self.backends[0]
        among: Sequence[Backend] = self.backends
        if self._unwell or but:
            now = self._clock()
            left = [backend for backend in among if backend not in but] or among
            among = [b for b in left if b.failures < _UNWELL or b.rests_until <= now] or left
        number = zlib.crc32(key.encode())
        chosen = max(among, key=lambda backend: (number * backend.factor) & 0xFFFF_FFFF_FFFF_FFFF)
        if chosen.failures >= _UNWELL:  # this call is the one that tries it; the others go on avoiding it meanwhile
            chosen.rests_until = self._clock() + self._rest_s
        return chosen

    def worked(self, backend: Backend) -> None:
        """It answered; whatever was before is forgotten."""
        if not backend.calls.is_listed:
            return
        if backend.failures >= _UNWELL:
            self._unwell -= 1
            if len(self.backends) > 1:
                log.info("%s has recovered", backend.url)
        backend.failures = 0

    def failed(self, backend: Backend) -> None:
        """It refused, broke off, or had a fault of its own."""
        if not backend.calls.is_listed:
            return
        backend.failures += 1
        if backend.failures < _UNWELL:
            return
        backend.rests_until = self._clock() + self._rest_s
        if backend.failures == _UNWELL:
            self._unwell += 1
            if len(self.backends) > 1:
                text = "%s failed %d times in a row; its sessions use other backends for %g s"
                log.warning(text, backend.url, _UNWELL, self._rest_s)


def _distinct(urls: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(url.rstrip("/") for url in urls))
