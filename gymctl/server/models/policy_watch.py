"""A model server's watch on its list of endpoints, which may be replaced through the head while the server runs.

Every process of the server asks the head for a newer list, and the head answers when there is one. The question
confirms the list that the process uses now, so the head knows when a change has reached all of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from gymctl.config.vocabulary import HEAD_NAME, POLICY_WATCH_KEY
from gymctl.server.calls.client import HopFailed
from gymctl.server.hop_tokens import TokenFile
from gymctl.server.message import Call, Reply

if TYPE_CHECKING:
    from gymctl.server.base import Server

WATCH_PATH = "/policy/watch"
LONGEST_WATCH_S = 1.0
"""Seconds after which the head answers that nothing has changed; a head that stops waits for its answers."""
_GRACE_S = 5.0
_FIRST_LOOK_S = 2.0  # longest that calls wait for the first answer of the head
_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)  # after attempts that failed, in a row

log = logging.getLogger("gymctl.server")


class PolicyWatch:
    """The watch of one process.

    Args:
        name: the model server.
        head_url: base URL of the head.
        replace: takes the new list of addresses.
        tokens: has the token of the head; None: it needs none.
    """

    def __init__(
        self,
        name: str,
        head_url: str,
        replace: Callable[[Sequence[str]], None],
        tokens: TokenFile | None = None,
    ) -> None:
        self._name = name
        self._tokens = tokens
        self._head_url = head_url
        self._replace = replace
        self._follower = os.urandom(8).hex()
        self._state: dict[str, Any] = {"revision": 0}
        self._looked = asyncio.Event()
        self.weight_version = ""
        """Version of the weights at the present endpoints; empty where it was not given."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    @classmethod
    def of(cls, server: Server, replace: Callable[[Sequence[str]], None]) -> PolicyWatch | None:
        """The watch of a server; None where its endpoints cannot be replaced."""
        if not server.settings.whole.get(POLICY_WATCH_KEY):
            return None
        return cls(server.name, server.settings.head_url, replace, server.settings.tokens)

    async def first_look(self) -> None:
        """Wait until the head was asked once, or for two seconds: a replica must not begin with an old list."""
        if self._looked.is_set():
            return
        try:
            async with asyncio.timeout(_FIRST_LOOK_S):
                await self._looked.wait()
        except TimeoutError:
            self._looked.set()

    async def stop(self) -> None:
        """End the watch."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        """Ask until the server stops. While the head does not answer, the current list is used."""
        from gymctl.server.calls.remote import Ways

        ways = Ways(limit=2, tokens=self._tokens)
        failures = 0
        try:
            while True:
                try:
                    reply = await ways.send(HEAD_NAME, self._head_url, self._question())
                    succeeded = self._take(reply)
                except (HopFailed, ValueError, KeyError, TypeError):
                    succeeded = False
                self._looked.set()
                if succeeded:
                    failures = 0
                else:
                    failures += 1
                    await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S)) - 1])
        finally:
            await ways.close()

    def _question(self) -> Call:
        seconds = LONGEST_WATCH_S if self._looked.is_set() else 0.0
        body = {"server": self._name, "follower": self._follower, "seconds": seconds, "state": self._state}
        return Call(WATCH_PATH, orjson.dumps(body), deadline=time.monotonic() + seconds + _GRACE_S)

    def _take(self, reply: Reply) -> bool:
        """Use the list of a reply if it is newer; returns whether it was a reply of such a head."""
        if reply.status != 200:
            return False
        state = reply.json()
        if state["revision"] <= self._state["revision"]:
            return True
        self._replace([str(url) for url in state["urls"]])
        self.weight_version = str(state["weight_version"])
        self._state = state
        log.info("%s calls %d endpoints now: %s", self._name, len(state["urls"]), ", ".join(state["urls"]))
        return True
