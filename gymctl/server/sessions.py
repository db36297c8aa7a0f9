"""Sessions by cookie, named as NeMo Gym names them: ``<Class>___<instance>``.

The cookie is sent again on every reply: an agent replaces its cookies with each reply's, and would otherwise lose the
session after the first tool call (upstream 0.2.0 with Starlette 1.0).
"""

from __future__ import annotations

import os
from typing import Any

from cachetools import TTLCache

COOKIE_ATTRIBUTES = "; path=/; Max-Age=1209600; httponly; samesite=lax"
_MOST_SESSIONS = 262_144
_IDLE_S = 6 * 3600.0


class Session:
    """One caller's session: ``id``, and ``state``, a mapping kept in this process for as long as the session lives."""

    __slots__ = ("_store", "id")

    def __init__(self, identity: str, store: SessionStore) -> None:
        self.id = identity
        self._store = store

    @property
    def state(self) -> dict[str, Any]:
        """What this server remembers for the session; empty at first."""
        return self._store.state(self.id)


class SessionStore:
    """The states of a server's sessions, bounded in number and in age (upstream's only grow)."""

    def __init__(self, cookie: str) -> None:
        self.cookie = cookie
        self._states: TTLCache[str, dict[str, Any]] = TTLCache(_MOST_SESSIONS, _IDLE_S)

    def open(self, identity: str | None) -> Session:
        """The session of a cookie's value, or a new one."""
        return Session(identity or os.urandom(16).hex(), self)

    def state(self, identity: str) -> dict[str, Any]:
        """The session's state, made when it is first asked for."""
        found = self._states.get(identity)
        if found is None:
            found = self._states[identity] = {}
        return found
