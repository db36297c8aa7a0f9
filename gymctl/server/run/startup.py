"""The start of a server: a boundary, where code of a user's own first runs."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from gymctl.errors import GymctlError

if TYPE_CHECKING:
    from gymctl.server.hosting import HostedServer


class StartFailed(GymctlError):  # noqa: N818 - a fact about a server, like HopFailed
    """Code of a server's own raised at its start; ``__cause__`` is what."""


async def start(server: HostedServer) -> None:
    """Run a server's ``startup``.

    Raises:
        StartFailed: it raised something else than a ``GymctlError``, which passes as it is.
    """
    try:
        await server.startup()
    except GymctlError:
        raise  # its message is complete
    except Exception as error:
        raise StartFailed(f"{server.name} could not start: {_with_place(error)}") from error


def _with_place(error: Exception) -> str:
    """What a server's own code raised, and the line that did."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({frame.filename}:{frame.lineno})"
