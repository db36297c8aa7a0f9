"""Calls at an endpoint that may be taken off its server's list: they are interrupted then, and go to another one."""

from __future__ import annotations

from gymctl.errors import RunError
from gymctl.server.calls.interruption import InterruptibleCall

_REMOVED = "the endpoint was removed from the list"


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
            raise EndpointRemovedError(_REMOVED)
        self._calls.add(call)

    def discard(self, call: _ListedCall) -> None:
        """Forget a call that has ended."""
        self._calls.discard(call)

    def remove(self) -> None:
        """Interrupt all calls, and refuse further ones."""
        self.is_listed = False
        for call in tuple(self._calls):
            call.interrupt()


class _ListedCall(InterruptibleCall):
    """One call's stay at an endpoint."""

    __slots__ = ()

    def reason(self) -> Exception:
        """The endpoint was taken off the list."""
        return EndpointRemovedError(_REMOVED)
