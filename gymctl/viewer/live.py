"""Following runs that somebody looks at: a file is read while a page shows it, and by one reader however many pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from gymctl.errors import GymctlError
from gymctl.viewer.indexes import Indexes
from gymctl.viewer.runs import Run

Value = TypeVar("Value")

_EVERY_S = 0.5
_WHILE_INDEXING_S = 0.25
_FIRST_WAIT_S = 1.5
_READERS = 4
_WRITERS = 2


@dataclass(frozen=True)
class Position:
    """How far a run is indexed."""

    last_id: int
    indexed: int
    """Bytes of the files that are indexed."""
    size: int
    """Bytes of the files."""
    restarts: int = 0
    """How often the file was replaced since it was opened."""
    problem: str = ""
    """Why it cannot be followed."""


class Workers:
    """The threads that read and extend indexes, so that the event loop does neither."""

    def __init__(self) -> None:
        self.indexes = Indexes()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="view-read")
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="view-index")
        self._first: dict[str, asyncio.Future[bool]] = {}
        self._followers: dict[str, Follower] = {}

    async def read(self, work: Callable[[], Value]) -> Value:
        """Do work in a thread for reading."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def refresh(self, run: Run) -> asyncio.Future[bool]:
        """Index what was appended to a run; True when the file was replaced."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._writers, lambda: self.indexes.of(run).refresh())

    async def ready(self, run: Run) -> None:
        """Wait until a run that is shown first is indexed, but not longer than a page may: the rest comes later."""
        future = self._first.get(run.id)
        if future is None:
            future = self._first[run.id] = self.refresh(run)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(future), _FIRST_WAIT_S)

    def follower(self, run: Run) -> Follower:
        """The follower of a run."""
        return self._followers.setdefault(run.id, Follower(self, run))

    def position(self, run: Run, restarts: int = 0) -> Position:
        """How far a run is indexed now."""
        index = self.indexes.of(run)
        last_id, indexed = index.read(lambda reader: (reader.last_id, reader.indexed_bytes))
        size = index.size()
        return Position(last_id, indexed, max(size, indexed), restarts)

    def close(self) -> None:
        """End the threads and close the indexes."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._writers.shutdown(wait=False, cancel_futures=True)
        self.indexes.close()


class Follower:
    """One run that pages look at. Without a page nothing is read."""

    def __init__(self, workers: Workers, run: Run) -> None:
        self._workers = workers
        self._run = run
        self._pages = 0
        self._task: asyncio.Task[None] | None = None
        self._position: Position | None = None
        self._changed = asyncio.Event()

    async def positions(self) -> AsyncIterator[Position]:
        """Every position that differs from the one before, the present one first."""
        self._pages += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow())
        seen: Position | None = None
        try:
            while True:
                changed = self._changed
                if self._position is not None and self._position != seen:
                    seen = self._position
                    yield seen
                    continue
                await changed.wait()
        finally:
            self._pages -= 1

    async def _follow(self) -> None:
        restarts = 0
        while self._pages:
            refresh = self._workers.refresh(self._run)
            try:
                while not refresh.done():
                    await asyncio.wait([refresh], timeout=_WHILE_INDEXING_S)
                    await self._measure(restarts)
                if refresh.result():
                    restarts += 1
                await self._measure(restarts)
            except GymctlError as error:
                before = self._position or Position(0, 0, 0)
                self._publish(Position(before.last_id, before.indexed, before.size, restarts, str(error)))
            await asyncio.sleep(_EVERY_S)

    async def _measure(self, restarts: int) -> None:
        self._publish(await self._workers.read(lambda: self._workers.position(self._run, restarts)))

    def _publish(self, position: Position) -> None:
        if position == self._position:
            return
        self._position = position
        self._changed.set()
        self._changed = asyncio.Event()
