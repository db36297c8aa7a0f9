"""Calls at an endpoint that may be taken off its server's list: they are interrupted then, and go to another one."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from gymctl.errors import RunError


class EndpointRemovedError(RunError):
    """The endpoint of a call is no longer in the list of its server."""


class ListedCalls:
    """The calls that are under way at one endpoint."""

    __slots__ = ("_calls", "is_listed")

    def __init__(self) -> None:
        self.is_listed = True
        self._calls: set[_ListedCall] = set()

    def call(self) -> _ListedCall:
        """A context for one call; it ends with ``EndpointRemovedError`` when the endpoint is taken off the list."""
        return _ListedCall(self)

    def add(self, call: _ListedCall) -> None:
        """Note a call that begins.

        Raises:
            EndpointRemovedError: the endpoint was taken off the list before.
        """
        if not self.is_listed:
            raise EndpointRemovedError("the endpoint was removed from the list")
        self._calls.add(call)

    def discard(self, call: _ListedCall) -> None:
        """Forget a call that has ended."""
        self._calls.discard(call)

    def remove(self) -> None:
        """Interrupt all calls, and refuse further ones."""
        self.is_listed = False
        for call in tuple(self._calls):
            call.interrupt()


class _ListedCall:
    """One call's stay at an endpoint."""

    __slots__ = ("_calls", "_cancelling", "_is_interrupted", "_task")

    def __init__(self, calls: ListedCalls) -> None:
        self._calls = calls
        self._is_interrupted = False
        self._task: asyncio.Task[Any] | None = None

    def __enter__(self) -> None:
        self._calls.add(self)
        self._task = asyncio.current_task()
        if self._task is not None:
            self._cancelling = self._task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._calls.discard(self)
        task, self._task = self._task, None
        if not self._is_interrupted or task is None:
            return
        # As asyncio.timeout does it: a cancellation from elsewhere at the same time stays a cancellation.
        only_ours = task.uncancel() <= self._cancelling
        if only_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise EndpointRemovedError("the endpoint was removed from the list") from error

    def interrupt(self) -> None:
        """Interrupt the task where it waits."""
        if self._task is not None:
            self._is_interrupted = True
            self._task.cancel()
