"""The tokens of a stack with ``tokens: true``, as one process uses them: of calls that it gets, and of its own calls.

The file may be replaced or changed while the process runs. It is looked at when a token is needed, at most once a
second, so that new tokens need no restart.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from gymctl.config.blocks.hop_tokens import TOKENS_VARIABLE, HopTokens
from gymctl.errors import InputError

LOOK_EVERY_S = 1.0

log = logging.getLogger("gymctl.server")


class TokenFile:
    """The file with the tokens of one process.

    Args:
        path: the file.
        clock: seconds that only grow.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._due = 0.0
        self._seen: tuple[int, int, int] | None = None
        self._accepted: tuple[bytes, ...] = ()
        self._calls: Mapping[str, str] = {}
        try:
            self._read()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"the tokens in {path} cannot be read: {reason}", "run `gymctl up` again") from error

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> TokenFile | None:
        """The file that a process's environment names; None in a stack without tokens.

        Raises:
            InputError: it cannot be read.
        """
        path = environ.get(TOKENS_VARIABLE)
        return cls(Path(path)) if path else None

    def accepts(self, token: bytes | None) -> bool:
        """Whether a call with this token may be answered, compared in constant time."""
        if self._clock() >= self._due:
            self.refresh()
        if token is None:
            return False
        is_known = False
        for expected in self._accepted:
            is_known |= hmac.compare_digest(token, expected)
        return is_known

    def of(self, server: str) -> str:
        """The token for calls to a server; empty where this process has none for it."""
        if self._clock() >= self._due:
            self.refresh()
        return self._calls.get(server, "")

    def refresh(self) -> None:
        """Read the file if it has changed. What cannot be read, or only in part, is tried again a second later."""
        self._due = self._clock() + LOOK_EVERY_S
        try:
            self._read()
        except (OSError, ValueError):
            log.debug("the tokens in %s cannot be read now", self._path)

    def _read(self) -> None:
        status = self._path.stat()
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen == self._seen:
            return
        tokens = HopTokens.parse(self._path.read_text(encoding="ascii"))
        self._accepted = tuple(token.encode() for token in tokens.accepts)
        self._calls = {name: values[0] for name, values in tokens.calls.items()}
        self._seen = seen
        self._due = self._clock() + LOOK_EVERY_S
