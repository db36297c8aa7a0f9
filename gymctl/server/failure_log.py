"""Log lines about requests that fail: a warning for the first failure of each kind, debug lines for the others."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from gymctl.server.message import Call, printable_line

if TYPE_CHECKING:
    from gymctl.server.calls.client import HopFailed

_MOST_KINDS = 256
_REPEATED = "later failures of this kind are logged at debug level"

log = logging.getLogger("gymctl.server")


class FailureLog:
    """The failures of one server, by kind."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._kinds: set[tuple[str, ...]] = set()

    def call_failed(self, failure: HopFailed) -> None:
        """Log that a call to another server or to an endpoint failed."""
        message = printable_line(failure.message)
        if self._is_first(failure.hop, failure.path, failure.kind, str(failure.status)):
            log.warning("%s: a call failed: %s (%s)", self._server, message, _REPEATED)
        else:
            log.debug("%s: a call failed: %s", self._server, message)

    def code_failed(self, call: Call, error: Exception) -> None:
        """Log that the code of an endpoint raised; with a traceback once for each place in the code."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        if self._is_first(call.path, type(error).__name__, place.filename, str(place.lineno)):
            log.error("%s: %s %s failed (%s)", self._server, call.method, call.path, _REPEATED, exc_info=error)
        else:
            log.debug("%s: %s %s failed", self._server, call.method, call.path, exc_info=error)

    def _is_first(self, *kind: str) -> bool:
        if kind in self._kinds or len(self._kinds) >= _MOST_KINDS:
            return False
        self._kinds.add(kind)
        return True
