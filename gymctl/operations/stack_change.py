"""A command that changes a stack: one at a time, and recorded in the stack's history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gymctl import __version__
from gymctl.engines.change_lock import LockOwner, change_lock
from gymctl.engines.history import ChangeOutcome, StackChange, read_history, record_change
from gymctl.engines.stack_directory import stack_directory
from gymctl.engines.state import find_state
from gymctl.errors import GymctlError, InputError


@dataclass
class ChangeDetail:
    """What a change does, for the history; whoever makes the change sets it."""

    text: str = ""


@contextmanager
def stack_change(directory: Path, command: str) -> Iterator[ChangeDetail]:
    """Change the stack of ``directory`` in the block, and add the change to its history.

    What fails because of wrong input has changed nothing, and is not recorded; neither is what leaves no stack.

    Raises:
        EngineError: another process changes the stack.
    """
    with change_lock(directory, command) as owner:
        detail = ChangeDetail()
        began = time.monotonic()
        outcome = ChangeOutcome.DONE
        try:
            yield detail
        except KeyboardInterrupt as interrupt:
            outcome = ChangeOutcome.INTERRUPTED
            detail.text = str(interrupt) or "interrupted"
            raise
        except InputError:
            detail.text = ""
            raise
        except GymctlError as error:
            outcome = ChangeOutcome.FAILED
            detail.text = error.message
            raise
        finally:
            if detail.text:
                _record(directory, owner, outcome, detail.text, time.monotonic() - began)


def _record(directory: Path, owner: LockOwner, outcome: ChangeOutcome, detail: str, seconds: float) -> None:
    """Add a change to the history, if there is a stack."""
    state = find_state(directory)
    if state is None:
        return
    change = StackChange(
        time=owner.since,
        command=owner.command,
        user=owner.user,
        host=owner.host,
        pid=owner.pid,
        stack=state.name,
        outcome=outcome.value,
        detail=detail,
        seconds=round(seconds, 1),
        config_digest=state.config_digest,
        version=__version__,
    )
    with suppress(OSError):  # the change itself has been made, or has its own error
        record_change(directory, change)


def history(directory: Path | None = None) -> list[StackChange]:
    """The changes of a directory's stack since it was first started, the first one first.

    Args:
        directory: where the stack was brought up; by default the working directory.
    """
    return read_history(stack_directory(directory))
