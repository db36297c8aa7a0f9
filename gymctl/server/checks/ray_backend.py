"""Checks as tasks of a Ray cluster, spread over its nodes. Ray is imported and connected at the first of them.

All of Ray's calls are made in one thread of their own: connecting takes seconds, and a cluster that is gone lets a call
hang for minutes. Neither the event loop nor the end of the process waits for it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from gymctl.errors import InputError
from gymctl.server.calls.client import HopFailed
from gymctl.server.checks import fork_server, forked_call
from gymctl.server.checks.forked_call import ProcessLimits
from gymctl.server.checks.worker_pool import CheckFailed, Reason

Value = TypeVar("Value")

PATIENCE_S = 60.0  # how long a check waits for a place in the cluster, its own time not counted
_TRIES = 3
_RETRIES = 3  # Ray's own, for a task whose worker or node died
_UNAVAILABLE_S = 5.0  # how long a failed connection is reported to callers without another try
_CLOSING_S = 5.0
_MESSAGES: dict[str, str] = {
    "overran": "stopped after {seconds:g} s",
    "died": "the process running the check ended (out of memory?)",
    "raised": "{value}",
}


class Place(NamedTuple):
    """Where a check was done: a Ray node's id and its host name."""

    node: str
    host: str


class Cluster:
    """The Ray cluster at ``address``, with at most ``most`` checks handed to it at a time."""

    def __init__(self, address: str, *, most: int, preload: Sequence[str], memory: int) -> None:
        """Connects nothing.

        Raises:
            InputError: the ``ray`` package is not installed.
        """
        if importlib.util.find_spec("ray") is None:
            raise InputError(f"checks are configured to run on Ray ({address}), but the ray package is not installed",
                             "install gymctl[ray], or unset ray_head_node_address and RAY_ADDRESS")  # fmt: skip
        self._address = address
        self._preload = tuple(preload)
        self._memory = memory
        self._slots = asyncio.Semaphore(most)
        self._thread = _Thread()
        self._connecting: asyncio.Future[Any] | None = None  # of the task of this connection
        self._down: tuple[float, str] = (0.0, "")

    async def run(self, function: Callable[..., Any], arguments: Sequence[Any], seconds: float) -> tuple[Any, Place]:
        """The value of ``function(*arguments)`` and where it was computed.

        Raises:
            CheckFailed: it overran, its process died, or it raised.
            HopFailed: the cluster cannot be reached, lost the task again and again, or has no place for it (503).
        """
        limits = ProcessLimits(seconds, self._memory, self._preload)
        async with self._slots:
            outcome, value, *place = await self._tried(function, tuple(arguments), limits)
        if outcome == "value":
            return value, Place(*place)
        raise CheckFailed(_reason(outcome), _MESSAGES[outcome].format(seconds=seconds, value=value))

    async def close(self) -> None:
        """Leave the cluster; one that does not answer is left alone."""
        if self._connecting is not None:
            with suppress(TimeoutError, Exception):
                await asyncio.wait_for(self._thread.call(_disconnect), _CLOSING_S)

    async def _tried(self, function: Callable[..., Any], arguments: Sequence[Any], limits: ProcessLimits) -> Any:
        began = time.monotonic()
        lost = ""
        for attempt in range(_TRIES):
            remaining = began + PATIENCE_S + limits.seconds - time.monotonic()
            try:
                return await asyncio.wait_for(self._once(function, arguments, limits), remaining)
            except TimeoutError:
                raise self._unavailable(lost or f"no worker accepted the check within {PATIENCE_S:g} s") from None
            except HopFailed:
                raise
            except Exception as error:  # noqa: BLE001 - Ray's errors are of many kinds, and all mean that it was lost
                lost = _summary(error)
                await asyncio.sleep(0.2 * 4**attempt)
                self._connecting = None  # what is wrong with the connection shows when it is made again
        raise self._unavailable(lost)

    async def _once(self, function: Callable[..., Any], arguments: Sequence[Any], limits: ProcessLimits) -> Any:
        task = await self._connected()
        reference = await self._thread.call(_submit, task, function, arguments, limits)
        try:
            return await asyncio.wrap_future(reference.future())
        except asyncio.CancelledError:
            self._thread.call(_cancel, reference).add_done_callback(_ignore)
            raise

    async def _connected(self) -> Any:
        """The task to submit, which belongs to the connection."""
        until, why = self._down
        if time.monotonic() < until:
            raise self._unavailable(why)
        if self._connecting is None:
            self._connecting = self._thread.call(_connect, self._address)
        connecting = self._connecting
        try:
            return await asyncio.shield(connecting)
        except Exception as error:
            if self._connecting is connecting:
                self._connecting = None
                self._down = (time.monotonic() + _UNAVAILABLE_S, _summary(error))
            raise self._unavailable(_summary(error)) from error

    def _unavailable(self, why: str) -> HopFailed:
        text = f"the Ray cluster at {self._address} cannot run the check: {why}"
        cause = {"hop": "ray", "path": self._address, "status": 503, "body": text, "kind": "status"}
        return HopFailed("ray", self._address, status=503, body=text, retry_after=_UNAVAILABLE_S, cause=cause)


def _reason(outcome: str) -> Reason:
    if outcome == "overran":
        return "overran"
    if outcome == "died":
        return "died"
    return "raised"


def _summary(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def _ignore(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


class _Thread:
    """One thread that makes calls in order. It is a daemon: one that hangs is left behind at the end."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._running = False

    def call(self, function: Callable[..., Value], *arguments: Any) -> asyncio.Future[Value]:
        """The future of ``function(*arguments)``."""
        if not self._running:
            self._running = True
            threading.Thread(target=self._work, name="ray", daemon=True).start()
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._calls.put((future, lambda: function(*arguments)))
        return future

    def _work(self) -> None:
        while True:
            future, function = self._calls.get()
            try:
                value = function()
                error = None
            except BaseException as caught:  # noqa: BLE001 - it is the caller's
                value = None
                error = caught
            with suppress(RuntimeError):  # the loop has ended meanwhile
                future.get_loop().call_soon_threadsafe(_settle, future, value, error)


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def _connect(address: str) -> Any:
    """Connect, unless this process is; the task that does checks.

    One for all of them: Ray queues each task by itself, and so gives a new one of every check its turn in no order.
    """
    import ray
    from ray import cloudpickle

    if not _is_alive():
        ray.shutdown()
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.WARNING)
    for module in (forked_call, fork_server):
        cloudpickle.register_pickle_by_value(module)
    return ray.remote(num_cpus=1, max_retries=_RETRIES, scheduling_strategy="SPREAD")(forked_call.on_node)


def _is_alive() -> bool:
    """Whether another server of this process has connected, and the cluster still answers."""
    import ray

    if ray.is_initialized():
        with suppress(Exception):
            ray.nodes()
            return True
    return False


def _disconnect() -> None:
    import ray

    ray.shutdown()


def _submit(task: Any, function: Callable[..., Any], arguments: Sequence[Any], limits: ProcessLimits) -> Any:
    """Submit one check to Ray with its code, since the nodes may have neither gymctl nor the server's folder."""
    from ray import cloudpickle

    for module in _with_neighbours(sys.modules[function.__module__]):
        if module.__name__ != "__main__":  # which is passed by value anyway
            cloudpickle.register_pickle_by_value(module)
    return task.remote(function, arguments, limits)


def _with_neighbours(module: ModuleType) -> list[ModuleType]:
    """A module, and those of its folder that it imports, directly or through others."""
    folder = Path(module.__file__ or "").parent
    modules = [module]
    for each in modules:
        named = (getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in vars(each).values())
        for other in (sys.modules.get(str(name)) for name in named):
            if (
                other is not None
                and other not in modules
                and Path(getattr(other, "__file__", None) or "").parent == folder
            ):
                modules.append(other)
    return modules


def _cancel(reference: Any) -> None:
    import ray

    ray.cancel(reference, force=True)
