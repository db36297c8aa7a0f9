"""Worker processes on this machine, one check at a time each. One that overruns is killed, wherever it hangs.

Nothing is started before the first check. Processes are started here and not by ``engines/runner.py``, since a server
knows no engine, and its event loop must not wait for them.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import os
import pickle
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from gymctl.errors import RunError
from gymctl.server.checks import fork_server

# What a worker may know of the server's environment. Its keys and its configuration are not among it.
_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE")
_START_S = 120.0  # the first worker waits for the slow imports, on a machine that may be busy
MEMORY = 2 << 30  # bytes a worker may map beyond what it begins with

Reason = Literal["overran", "died", "raised"]


class CheckFailed(RunError):  # noqa: N818 - it is data about a check as much as an error
    """A check gave no answer. ``reason``: it ``overran`` its time, its process ``died``, or it ``raised``."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Pool:
    """At most ``workers`` processes. Belongs to the event loop that uses it first."""

    def __init__(self, workers: int, *, preload: Sequence[str] = (), memory: int = MEMORY) -> None:
        self._options = {"preload": list(preload), "memory": memory}
        self._slots = asyncio.Semaphore(workers)
        self._nursery: _Nursery | None = None
        self._starting = asyncio.Lock()
        self._free: list[_Worker] = []

    async def run(self, function: Callable[..., Any], arguments: Sequence[Any], seconds: float) -> Any:
        """The value of ``function(*arguments)``, a module's function; ``seconds`` are those from its start.

        Raises:
            CheckFailed: it overran, died or raised.
        """
        job = pickle.dumps((place_of(function), tuple(arguments)))
        async with self._slots:
            try:
                fine, value = await self._ask(job, seconds)
            except (EOFError, ConnectionError):  # maybe while it had nothing to do: a second one decides
                try:
                    fine, value = await self._ask(job, seconds)
                except (EOFError, ConnectionError):
                    raise CheckFailed("died", "the process running the check ended (out of memory?)") from None
        if not fine:
            raise CheckFailed("raised", value)
        return value

    async def _ask(self, job: bytes, seconds: float) -> tuple[bool, Any]:
        """One try: whether the check gave a value, and that value or what it raised."""
        if self._free:
            worker = self._free.pop()
        else:
            worker = await self._start()
        try:
            fine, value, grown = pickle.loads(await asyncio.wait_for(worker.ask(job), seconds))  # noqa: S301 - our own
        except TimeoutError:
            worker.end()
            raise CheckFailed("overran", f"stopped after {seconds:g} s") from None
        except BaseException:  # it died, or the caller has disconnected and no longer waits
            worker.end()
            raise
        if grown:
            worker.end()
        else:
            self._free.append(worker)
        return fine, value

    async def close(self) -> None:
        """End all workers."""
        self._free.clear()
        if self._nursery is not None:
            await self._nursery.close()
            self._nursery = None

    async def _start(self) -> _Worker:
        async with self._starting:
            if self._nursery is None or self._nursery.ended:
                self._nursery = await _Nursery.start(self._options)
        try:
            return await asyncio.wait_for(self._nursery.fork(), _START_S)
        except TimeoutError:
            raise CheckFailed("died", f"no worker started within {_START_S:g} s") from None
        except (EOFError, ConnectionError) as error:
            raise CheckFailed("died", f"workers cannot be started: {error or 'their parent ended'}") from None


def place_of(function: Callable[..., Any]) -> tuple[str, str, str]:
    """File, module and name of a function, by which another process finds it.

    Raises:
        TypeError: it is not a module-level function.
    """
    if not inspect.isfunction(function) or "." in function.__qualname__:
        raise TypeError(f"{function!r} is not a module-level function, so other processes cannot import it")
    return str(Path(inspect.getfile(function)).resolve()), function.__module__, function.__qualname__


class _Nursery:
    """The process that forks workers, as the pool sees it."""

    def __init__(self, process: asyncio.subprocess.Process, orders: socket.socket) -> None:
        self._process = process
        self._orders = orders
        self._numbers = itertools.count()

    @classmethod
    async def start(cls, options: dict[str, Any]) -> _Nursery:
        """Start the process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                fork_server.__file__,
                str(theirs.fileno()),
                json.dumps({**options, "path": sys.path}),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )  # fmt: skip
        return cls(process, ours)

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.returncode is not None

    async def fork(self) -> _Worker:
        """A new worker that is ready for its first check."""
        ours, theirs = socket.socketpair()
        with theirs:
            number = next(self._numbers)
            socket.send_fds(self._orders, [b"fork %d" % number], [theirs.fileno()])
        worker = _Worker(self, number, *await asyncio.open_unix_connection(sock=ours))
        try:
            await worker.receive()
        except BaseException:
            worker.end()
            raise
        return worker

    def kill(self, number: int) -> None:
        """Kill a worker by its number."""
        with suppress(OSError):  # it ended, and its workers with it
            self._orders.send(b"kill %d" % number)

    async def close(self) -> None:
        """Hang up; it ends its workers and then itself."""
        self._orders.close()
        await self._process.wait()


class _Worker:
    """One process and the channel to it."""

    def __init__(
        self, parent: _Nursery, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._parent = parent
        self._number = number
        self._reader = reader
        self._writer = writer

    async def ask(self, job: bytes) -> bytes:
        """Send a job and return the answer."""
        self._writer.write(len(job).to_bytes(8, "big") + job)
        await self._writer.drain()
        return await self.receive()

    async def receive(self) -> bytes:
        """The next message.

        Raises:
            EOFError: the process has ended.
        """
        length = int.from_bytes(await self._reader.readexactly(8), "big")
        return await self._reader.readexactly(length)

    def end(self) -> None:
        """Kill it; what it does does not matter."""
        self._writer.close()
        self._parent.kill(self._number)
