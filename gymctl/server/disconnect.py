"""Work that is worth doing only while its caller waits for the answer: a rollout, a model's response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar

# Request and hang-up may have arrived together. The loop reads the second one in the round after the first, and it is
# reported here up to three rounds later; a round costs a microsecond or two.
ROUNDS_UNTIL_HANG_UP = 5

Answer = TypeVar("Answer")
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def while_wanted(work: Coroutine[Any, Any, Answer], receive: Receive) -> Answer | None:
    """Do the work unless, and until, the caller hangs up.

    A collector that is killed or gives up leaves rollouts at the agent, which would keep making model calls whose
    answers nobody reads. A server that was frozen may also find requests whose callers left long ago.

    Args:
        work: produces the answer; cancelled when the caller disconnects, and not started after that.
        receive: ASGI's, the request's body being read.

    Returns:
        The answer; None if the caller has disconnected.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - ASGI servers run an application in a task
    call = _Call(task)
    watch = asyncio.ensure_future(receive())  # the body has been read: the next message is the disconnect
    watch.add_done_callback(call.hung_up)
    try:
        for _ in range(ROUNDS_UNTIL_HANG_UP):
            await asyncio.sleep(0)
        return await work
    except asyncio.CancelledError:
        if not call.dropped or task.uncancel():
            raise
        return None
    finally:
        call.over = True
        work.close()  # if it was not started
        watch.cancel()


class _Call:
    """Whether the caller has left before the work was over."""

    __slots__ = ("_task", "dropped", "over")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self.dropped = self.over = False

    def hung_up(self, watch: asyncio.Future[MutableMapping[str, Any]]) -> None:
        """The watch has ended: stop the work, unless it is the end of the work that ended the watch."""
        if watch.cancelled() or watch.exception() is not None:
            return
        if not self.over and watch.result()["type"] == "http.disconnect":
            self.dropped = True
            self._task.cancel()
