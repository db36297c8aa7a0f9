"""A call that can be interrupted from outside, where its task waits."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Protocol


class Calls(Protocol):
    """Calls that may be interrupted together, such as a set."""

    def add(self, call: Any, /) -> None:
        """Note a call that begins."""

    def discard(self, call: Any, /) -> None:
        """Forget a call that has ended."""


class InterruptibleCall:
    """A context for one of ``calls``; after ``interrupt`` it ends with ``reason()``."""

    __slots__ = ("_calls", "_cancelling", "_is_interrupted", "_task")

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._is_interrupted = False

    def __enter__(self) -> None:
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("only a task can be interrupted")
        self._cancelling = self._task.cancelling()
        self._calls.add(self)

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
            raise self.reason() from error

    def interrupt(self) -> None:
        """Interrupt the task where it waits."""
        if self._task is not None:
            self._is_interrupted = True
            self._task.cancel()

    def reason(self) -> Exception:
        """The error that an interrupted call ends with."""
        raise NotImplementedError
