"""The head's part in replacing the endpoints of model servers: the lists, and which processes use which."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BaseModel, Field

from gymctl.config.settings.setting_types import EndpointUrl
from gymctl.server.models.policy_watch import LONGEST_WATCH_S

CHANGE_S = 10.0
"""Seconds that a change waits for the processes of its server."""
_FORGET_S = 5.0  # after the last question of a process that asks no more
_MOST_FOLLOWERS = 10_000


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ValueError("a user name or password in the URL is not supported; use the server's API key")
    return url


Name = Annotated[str, Field(min_length=1, max_length=200)]
ListedUrl = Annotated[EndpointUrl, AfterValidator(_without_credentials), Field(max_length=2000)]


class PolicyChange(BaseModel):
    """The body of ``POST /policy``."""

    urls: list[ListedUrl] = Field(min_length=1, max_length=4096)
    """Base URLs of equal endpoints, as ``base_url`` of a model server has them."""
    server: Name | None = None
    """The model server; by default ``policy_model``, or the only one."""
    weight_version: str = Field("", max_length=200)
    """Version of the weights that these endpoints serve."""


class ListState(BaseModel):
    """A list with its revision, signed so that a head that was restarted can take it back from a model server."""

    revision: int = Field(0, ge=0)
    urls: list[str] = Field(default_factory=list, max_length=4096)
    weight_version: str = Field("", max_length=200)
    signature: str = Field("", max_length=200)


class Question(BaseModel):
    """The body of ``POST /policy/watch``: the process of a model server, and the list that it uses now."""

    server: Name
    follower: Name
    seconds: float = Field(0.0, ge=0, le=LONGEST_WATCH_S)
    """How long to wait for a newer list."""
    state: ListState


@dataclass
class _Follower:
    """One process of a model server."""

    revision: int
    seen: float
    questions: int = 0
    """Its questions that wait for an answer."""


@dataclass
class _List:
    """The list of one model server."""

    state: ListState = field(default_factory=ListState)
    followers: dict[str, _Follower] = field(default_factory=dict)
    replaced: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is a newer list, and followed by another event then."""
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a process asks or asks no more, and followed by another event then."""


class PolicyLists:
    """Lists of endpoints by model server.

    Args:
        token: signs the lists.
        clock: seconds that only grow.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token.encode()
        self._clock = clock
        self._lists: dict[str, _List] = {}
        self._revision = 0

    async def change(self, server: str, change: PolicyChange) -> dict[str, Any]:
        """Replace a list, and wait until every process of the server uses the new one.

        Returns:
            ``{"server", "revision", "processes", "late"}``: ``late`` of its processes did not confirm within
            ``CHANGE_S`` seconds.
        """
        entry = self._lists.setdefault(server, _List())
        # later than any revision of an earlier head: model servers compare them
        self._revision = max(self._revision, entry.state.revision, time.time_ns() // 1_000_000) + 1
        state = ListState(revision=self._revision, urls=change.urls, weight_version=change.weight_version)
        entry.state = state.model_copy(update={"signature": self._signature(server, state)})
        entry.replaced.set()
        entry.replaced = asyncio.Event()
        until = self._clock() + CHANGE_S
        while (late := self._late(entry)) and self._clock() < until:
            await _wait(entry.confirmed, min(0.2, until - self._clock()))
        return {"server": server, "revision": self._revision, "processes": len(entry.followers), "late": late}

    async def newer(self, question: Question) -> dict[str, Any]:
        """The list of a server, as soon as it is newer than what the process has, at the latest when its time ends."""
        entry = self._lists.setdefault(question.server, _List())
        if question.state.revision > entry.state.revision and self._is_signed(question.server, question.state):
            entry.state = question.state  # this head was restarted
        self._forget(entry)
        follower = entry.followers.get(question.follower)
        if follower is None:
            if len(entry.followers) >= _MOST_FOLLOWERS:
                return entry.state.model_dump()
            follower = entry.followers[question.follower] = _Follower(question.state.revision, self._clock())
        follower.revision = question.state.revision
        follower.questions += 1
        _notify_confirmed(entry)
        until = self._clock() + question.seconds
        try:
            while entry.state.revision <= question.state.revision and self._clock() < until:
                await _wait(entry.replaced, until - self._clock())
        finally:
            follower.questions -= 1
            follower.seen = self._clock()
            _notify_confirmed(entry)
        return entry.state.model_dump()

    def show(self) -> list[dict[str, Any]]:
        """The lists that were set, each with its server, the number of its processes and how many are late."""
        entries = []
        for server, entry in self._lists.items():
            if not entry.state.revision:
                continue
            late = self._late(entry)
            values = entry.state.model_dump(exclude={"signature"})
            entries.append({"server": server, **values, "processes": len(entry.followers), "late": late})
        return entries

    def _late(self, entry: _List) -> int:
        self._forget(entry)
        return sum(follower.revision < entry.state.revision for follower in entry.followers.values())

    def _forget(self, entry: _List) -> None:
        """Forget processes that ask no more."""
        now = self._clock()
        entry.followers = {
            name: follower
            for name, follower in entry.followers.items()
            if follower.questions or now - follower.seen <= _FORGET_S
        }

    def _signature(self, server: str, state: ListState) -> str:
        signed = orjson.dumps([server, state.revision, state.urls, state.weight_version])
        return hmac.new(self._token, signed, hashlib.sha256).hexdigest()

    def _is_signed(self, server: str, state: ListState) -> bool:
        return hmac.compare_digest(state.signature, self._signature(server, state))


def _notify_confirmed(entry: _List) -> None:
    entry.confirmed.set()
    entry.confirmed = asyncio.Event()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        return
