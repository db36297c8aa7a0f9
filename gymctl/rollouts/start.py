"""The first step of a run: check, then start afresh or find out what is left to do."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from gymctl.errors import InputError
from gymctl.rollouts.history import History, read_history
from gymctl.rollouts.identity import (
    known_inputs,
    read_identity,
    refuse_another_output,
    refuse_another_run,
    write_identity,
)
from gymctl.rollouts.journal import refuse_if_in_use
from gymctl.rollouts.pending import Rows
from gymctl.rollouts.spec import RunFiles, RunSpec
from gymctl.rollouts.tasks import Inputs, check_agent, check_paths, input_digest, materialise


@dataclass
class Opening:
    """Where a run starts from."""

    inputs: Inputs
    history: History
    notes: list[str] = field(default_factory=list)


def open_run(run: RunSpec) -> Opening:
    """Check the input and prepare the files of the run.

    Raises:
        InputError: the input or the agent is wrong, the run to resume is another one, or what is beside the output
            belongs to another one; nothing was changed.
        RunError: the output is being written by someone else, or the disk is full.
    """
    check_paths(run)
    check_agent(run)
    if not run.force:
        refuse_another_output(run)
    refuse_if_in_use(run.output)
    return _resume(run) if run.resume else _start(run)


def _start(run: RunSpec) -> Opening:
    notes: list[str] = []
    inputs = materialise(run, lambda: _clear(run.files, run.force, notes))
    write_identity(run.files.identity, run, inputs)
    return Opening(inputs, History(), notes)


def _resume(run: RunSpec) -> Opening:
    files = run.files
    if not _holds_work(files):
        opening = _start(run)
        opening.notes.append(f"nothing to resume in {run.output}: starting afresh")
        return opening
    record = read_identity(files.identity)
    inputs = None
    if record is None:
        if not run.force:
            raise InputError(
                f"{run.output} has no readable {files.identity.name} beside it, so its run cannot be told",
                "resume it all the same with --force, or choose another output",
            )
    elif not run.force:
        refuse_another_run(record, run, input_digest(run))
        inputs = known_inputs(record, files.materialized)
    if inputs is None:
        inputs = materialise(run)
        write_identity(files.identity, run, inputs)
    rows = Rows(files.materialized)
    history = read_history(files.output, files.failures, rows.all_keys(), run.max_attempts, run.retry_failed)
    rows.close()
    return Opening(inputs, history, history.notes)


def _holds_work(files: RunFiles) -> bool:
    return any(path.exists() and path.stat().st_size for path in (files.output, files.failures))


def _clear(files: RunFiles, overwrite: bool, notes: list[str]) -> None:
    """Make room for a new run. Hours of work are not lost to a forgotten option: what an earlier run left is kept."""
    if _holds_work(files) and not overwrite:
        _set_aside(files, notes)
    for path in files.all():
        path.unlink(missing_ok=True)


def _set_aside(files: RunFiles, notes: list[str]) -> None:
    """Rename the family of files to the next free number."""
    number = 1
    while any(os.path.lexists(path) for path in _numbered(files, number).all()):
        number += 1
    aside = _numbered(files, number)
    for old, new in zip(files.all(), aside.all(), strict=True):
        if old.exists():
            old.rename(new)
    notes.append(f"kept the earlier rollouts as {aside.output} (--resume goes on with a run, --force overwrites it)")


def _numbered(files: RunFiles, number: int) -> RunFiles:
    output = files.output
    return RunFiles(output.with_name(f"{output.stem}.{number}{output.suffix}"))
