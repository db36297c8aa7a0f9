"""The rollout that a request is part of: it travels from hop to hop in a header, and log lines name it."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, TypeVar

_Value = TypeVar("_Value")

ROLLOUT_HEADER = "x-gym-rollout"
TRACE_HEADER = "traceparent"
"""W3C's header: the trace that a request is part of, and the span of its caller."""
_HEADER = re.compile(r"([\w-]{0,32})/(-?\d{1,18}:\d{1,18})")
_TRACE_HEADER = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class RolloutContext:
    """One rollout of one run."""

    run: str
    """The run's id; empty when the caller does not say it."""
    rollout: str
    """``TASK:REPEAT``."""

    @property
    def header(self) -> str:
        """The value of ``ROLLOUT_HEADER``."""
        return f"{self.run}/{self.rollout}"


_rollout: ContextVar[RolloutContext | None] = ContextVar("rollout", default=None)
_traceparent: ContextVar[str] = ContextVar("traceparent", default="")
_session: ContextVar[str] = ContextVar("session", default="")


def current_rollout() -> RolloutContext | None:
    """The rollout that this code runs for, if any."""
    return _rollout.get()


def current_traceparent() -> str:
    """``TRACE_HEADER`` of the request that is being answered; empty without one."""
    return _traceparent.get()


def current_session() -> str:
    """The id of the session of the request that is being answered; empty without one."""
    return _session.get()


class _WithValue(Generic[_Value]):
    """A block in which a variable has a value; for each request, ``contextlib`` would cost three times as much."""

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[_Value], value: _Value) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> None:
        self._token = self._variable.set(self._value)

    def __exit__(self, *error: object) -> None:
        self._variable.reset(self._token)


def in_rollout(rollout: RolloutContext) -> AbstractContextManager[None]:
    """Run a block for a rollout."""
    return _WithValue(_rollout, rollout)


def in_session(session: str) -> AbstractContextManager[None]:
    """Run a block for a session."""
    return _WithValue(_session, session)


def read_header(value: bytes) -> RolloutContext | None:
    """The rollout that a caller names; None when the text is something else."""
    match = _HEADER.fullmatch(value.decode("latin-1"))
    if match is None:
        return None
    return RolloutContext(match[1], match[2])


def begin_request(value: bytes) -> None:
    """Take the rollout of a request's header for the rest of its task, which ends with the request."""
    _rollout.set(read_header(value))


def begin_trace(value: bytes) -> str:
    """Take the trace of a request's header, as ``begin_request`` does; returns it, empty when it is something else."""
    if _TRACE_HEADER.fullmatch(value) is None:
        return ""
    text = value.decode("ascii")
    _traceparent.set(text)
    return text
