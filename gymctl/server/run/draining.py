"""A server that ends without losing a call or a session: files in its ``/tmp`` ask it to, and show what is left.

An engine makes ``DRAIN_FILE`` with a command in the container, since nothing outside of the stack's networks reaches
the server. From then on each connection is closed with the next reply, so that callers connect to other replicas, and
a server that keeps sessions sends callers that can go to another replica there with new ones.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config.vocabulary import DRAIN_FILE, SESSIONS_FILE

if TYPE_CHECKING:
    from gymctl.server.sessions import SessionStore

_LOOK_EVERY_S = 1.0


async def watch_for_drain(
    sessions: SessionStore,
    *,
    keeps_sessions: bool,
    request: Path = Path(DRAIN_FILE),
    report: Path = Path(SESSIONS_FILE),
    every_s: float = _LOOK_EVERY_S,
) -> None:
    """Begin to drain when the file ``request`` appears, and write the number of sessions to ``report`` from then on.

    An empty ``report`` shows that this server can drain. Without ``keeps_sessions`` no call depends on an earlier one,
    and the number is 0. Returns only when it is cancelled.
    """
    with suppress(OSError):
        request.unlink(missing_ok=True)
        _write(report, "")
    while True:
        if request.exists():
            sessions.is_draining = True
            sessions.refuses_new = keeps_sessions
            with suppress(OSError):
                _write(report, str(sessions.in_use if keeps_sessions else 0))
        await asyncio.sleep(every_s)


def _write(path: Path, text: str) -> None:
    """Replace the content of a file; a link that somebody else has put there is not followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
