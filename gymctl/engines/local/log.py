"""The log of a local stack: one file, in which every line begins with the name of the server that wrote it.

A server's lines are those that its code logs or prints, tracebacks included. Which server that is, is known by the
context that its code runs in: tasks and ``asyncio.to_thread`` inherit it, a thread that it starts itself does not.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import IO, TYPE_CHECKING, Any, ParamSpec, TypeVar

from gymctl.config.vocabulary import HEAD_NAME, NODE_KEY

if TYPE_CHECKING:
    from gymctl.server import Server

SEPARATOR = " | "
_STATUS_NAMES = {HEAD_NAME: "head", NODE_KEY: "node"}

_server: ContextVar[str] = ContextVar("server", default="")
_P = ParamSpec("_P")
_T = TypeVar("_T")


def status_name(key: str) -> str:
    """The name that ``gymctl status`` has for the server under a key of the configuration."""
    return _STATUS_NAMES.get(key, key)


def writing_server() -> str:
    """The server that this code writes lines for; empty without one."""
    return _server.get()


@contextmanager
def written_by(key: str) -> Iterator[None]:
    """Give the lines that are written in this block to the server under a key of the configuration."""
    token = _server.set(status_name(key))
    try:
        yield
    finally:
        _server.reset(token)


def attribute(server: Server) -> None:
    """Give the lines that a server's code writes, at its start, its end and in its requests, to it."""
    name = server.name
    for method in ("startup", "shutdown", "handle"):
        setattr(server, method, _attributed(name, getattr(server, method)))


def _attributed(name: str, function: Callable[_P, Awaitable[_T]]) -> Callable[_P, Awaitable[_T]]:
    status = status_name(name)

    @wraps(function)
    async def call(*arguments: _P.args, **keywords: _P.kwargs) -> _T:
        """Call the function; lines that it writes are attributed to the server."""
        token = _server.set(status)
        try:
            return await function(*arguments, **keywords)
        finally:
            _server.reset(token)

    return call


class AttributedStream:
    """A text stream that begins each line with the server that wrote it; lines of none are passed on as they are."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._unfinished: dict[str, str] = {}

    def write(self, text: str) -> int:
        """Write the lines that are complete with ``text``; the rest waits for its end."""
        name = _server.get()
        *lines, rest = (self._unfinished.pop(name, "") + text).split("\n")
        if rest:
            self._unfinished[name] = rest
        if name:
            prefix = f"{name}{SEPARATOR}"
        else:
            prefix = ""
        if lines:
            self._stream.write("".join(f"{prefix}{line}\n" for line in lines))
            self._stream.flush()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of ``lines``."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what was written."""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class LevelFilter(logging.Filter):
    """Lets a record pass if its level is not below the level of its server."""

    def __init__(self, levels: Mapping[str, int], default: int) -> None:
        super().__init__()
        self._levels = levels
        self._default = default

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record passes."""
        return record.levelno >= self._levels.get(_server.get(), self._default)


def is_of(line: str, servers: Iterable[str]) -> bool:
    """Whether a line of the log is one of these servers'."""
    return any(line.startswith(f"{name}{SEPARATOR}") for name in servers)


def last_of_each(lines: Iterable[str], count: int) -> list[str]:
    """The last ``count`` lines of each server, in their order; those of no server count together."""
    counts: Counter[str] = Counter()
    chosen = []
    for line in reversed(list(lines)):
        name, separator, _ = line.partition(SEPARATOR)
        if separator:
            owner = name
        else:
            owner = ""
        counts[owner] += 1
        if counts[owner] <= count:
            chosen.append(line)
    return chosen[::-1]
