"""Whether a server refuses a request, for tests that compare two ways to judge it."""

from __future__ import annotations

from collections.abc import Awaitable

from gymctl.server import RefusedError


async def is_refused(check: Awaitable[None]) -> bool:
    """Whether a check ends with a refusal."""
    try:
        await check
    except RefusedError:
        return True
    return False
