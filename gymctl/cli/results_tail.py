"""``gymctl results tail``: follow a results file that grows."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from gymctl.errors import InputError

if TYPE_CHECKING:
    from gymctl.results import Index, RolloutRecord

_PAUSE_S = 0.5


def follow(
    index: Index, on_row: Callable[[RolloutRecord], None], *, lines: int, idle_timeout: float | None
) -> None:  # fmt: skip
    """Call ``on_row`` for the last ``lines`` rows, then for every new one, until ``idle_timeout`` s without one."""
    position = index.last_id_before(lines)
    last_row = time.monotonic()
    while True:
        rows = index.since(position)
        for rollout in rows:
            on_row(rollout)
            position = rollout.id
            last_row = time.monotonic()
        if rows:
            continue
        if idle_timeout is not None and time.monotonic() - last_row >= idle_timeout:
            return
        time.sleep(_PAUSE_S)
        with suppress(InputError):  # between the old file and the one of a new run there is none
            size = index.indexed_bytes
            replaced = index.refresh()
            if replaced and index.indexed_bytes == size:
                position = index.last_id  # the same rows in another order: `collect --order input` ends so
            elif replaced:
                typer.echo("the file was replaced; following the new one", err=True)
