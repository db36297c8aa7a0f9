"""Sessions by cookie, named as NeMo Gym names them: ``<Class>___<instance>``.

The cookie is sent again on every reply: an agent replaces its cookies with each reply's, and would otherwise lose the
session after the first tool call (upstream 0.2.0 with Starlette 1.0).

What belongs to a session lives in memory, in ``Session.state`` or in whatever a server keeps by ``Session.id``, so a
server that is started again has lost it. An id therefore begins with a mark of the process that gave it: to continue
with an empty state would earn the rollout a reward of zero that the model did not. Where a server may have replicas,
the address of the one that keeps the state comes before that (``place_of``).

A session ends with its verdict. Another call in it is refused as one in a lost session.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import quote

from gymctl.errors import RunError

COOKIE_ATTRIBUTES = "; path=/; Max-Age=1209600; httponly; samesite=lax"
_COOKIE_PUNCTUATION = "!#$&'*+^`|"  # of a cookie's name (RFC 6265), apart from -._~, which are never encoded
_MOST_SESSIONS = 262_144
_LONGEST_S = 6 * 3600.0
ABANDONED_S = 300.0
"""Seconds without a call after which nobody waits for the end of a session."""


class SessionLostError(RunError):
    """What belongs to a session was kept by a process that has ended, or the session itself has ended."""


class Session:
    """One caller's session: ``id``, and ``state``, a mapping kept in this process for as long as the session lives."""

    __slots__ = ("_store", "cookie")

    def __init__(self, cookie: str, store: SessionStore) -> None:
        self.cookie = cookie
        self._store = store

    @property
    def id(self) -> str:
        """Identifies this session.

        Raises:
            SessionLostError: the session began before this process did, or has ended.
        """
        self.check()
        return self.cookie

    @property
    def state(self) -> dict[str, Any]:
        """What this server remembers for the session; empty at first.

        Raises:
            SessionLostError: as for ``id``.
        """
        return self._store.state(self.cookie)

    def check(self) -> None:
        """See that the session is one of this process, and has not ended.

        Raises:
            SessionLostError: it is not.
        """
        if not self._store.stateless:
            self._store.state(self.cookie)


class _Kept:
    """What this process keeps of a session; times are on the store's clock."""

    __slots__ = ("began", "last_call", "state")

    def __init__(self, began: float) -> None:
        self.began = began
        self.last_call = began
        self.state: dict[str, Any] = {}


class SessionStore:
    """The states of a server's sessions, bounded in number and in age (upstream's only grow).

    Args:
        cookie: name of the cookie that carries a session's id.
        stateless: the server keeps nothing between calls, so that no session is ever lost.
        clock: seconds that only grow.
    """

    def __init__(self, cookie: str, *, stateless: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.cookie = cookie
        self.stateless = stateless
        self._clock = clock
        self._mark = os.urandom(4).hex()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        """By id, the oldest first."""
        self.is_draining = False
        """Whether this process is about to end, so that callers should connect to other replicas."""
        self.refuses_new = False
        """Whether new sessions belong on other replicas, since this process will end after those that it has."""

    def open(
        self, identity: str | None, *, replaces_lost: bool = False, place: str = "", is_kept: bool = True
    ) -> Session:
        """The session of a cookie's value, or a new one; with ``replaces_lost``, a lost session is replaced too.

        A new one without ``is_kept`` is for a single call and is not stored.

        ``place`` is the address under which this server was called; empty when no caller needs to know.
        """
        kept = self._find(identity)
        if not identity or (replaces_lost and kept is None):
            identity = place_of(place) + self._mark + os.urandom(12).hex()
            if is_kept and not self.stateless:
                self._keep(identity)
        elif kept is not None:
            kept.last_call = self._clock()
        return Session(identity, self)

    def _find(self, identity: str | None) -> _Kept | None:
        """What is kept of a session that has not ended; None of any other."""
        kept = self._kept.get(identity) if identity else None
        if kept is None or kept.began <= self._clock() - _LONGEST_S:
            return None
        return kept

    def _keep(self, identity: str) -> _Kept:
        """Begin to keep a session."""
        self._forget_old(_MOST_SESSIONS - 1)
        kept = self._kept[identity] = _Kept(self._clock())
        return kept

    def _forget_old(self, most: int) -> None:
        """Forget sessions that have lasted too long, and the oldest of more than ``most``."""
        begin = self._clock() - _LONGEST_S
        while self._kept:
            oldest = next(iter(self._kept.values()))
            if oldest.began > begin and len(self._kept) <= most:
                return
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        """How many sessions there are."""
        self._forget_old(_MOST_SESSIONS)
        return len(self._kept)

    @property
    def in_use(self) -> int:
        """How many sessions there are that had a call in the last minutes (``ABANDONED_S``)."""
        self._forget_old(_MOST_SESSIONS)
        begin = self._clock() - ABANDONED_S
        return sum(kept.last_call > begin for kept in self._kept.values())

    def holds(self, session: Session) -> bool:
        """Whether the session is one of this process that has not ended."""
        return self.stateless or self._find(session.cookie) is not None

    def end(self, session: Session) -> None:
        """Forget a session."""
        self._kept.pop(session.cookie, None)

    def state(self, identity: str) -> dict[str, Any]:
        """The session's state.

        Raises:
            SessionLostError: another process made the session, or it has ended.
        """
        kept = self._find(identity)
        if kept is not None:
            return kept.state
        if self._is_ours(identity):
            if self.stateless:
                return self._keep(identity).state
            raise SessionLostError("this session was closed after its verdict or expired; its state is lost")
        raise SessionLostError("this session began before the server was restarted; its state is lost")

    def _is_ours(self, identity: str) -> bool:
        return self._mark in (identity[:8], identity[9:17])


def cookie_suffix(server: str) -> str:
    """The end of the name of a server's cookie; characters that the name of a cookie may not have are encoded.

    >>> cookie_suffix("litmus/agent")
    '___litmus%2Fagent'
    """
    return f"___{quote(server, safe=_COOKIE_PUNCTUATION)}"


@lru_cache(maxsize=64)
def place_of(address: str) -> str:
    """An IPv4 address as a session's id begins with it: ``0a000105-``; empty for anything else."""
    try:
        return f"{int(IPv4Address(address)):08x}-"
    except ValueError:
        return ""


def place_in(identity: str) -> str | None:
    """The address in a session's id, None when it holds none."""
    if identity[8:9] == "-":
        return _address(identity[:8])
    return None


@lru_cache(maxsize=1024)
def _address(digits: str) -> str | None:
    try:
        return str(IPv4Address(int(digits, 16)))
    except ValueError:  # a cookie of somebody else's making
        return None
