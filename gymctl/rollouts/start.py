"""The first step of a run: check the input, then start from scratch or determine what is left to do."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from gymctl.errors import ErrorCode, InputError
from gymctl.rollouts.files import remove_stale_temporaries
from gymctl.rollouts.history import History, read_history
from gymctl.rollouts.identity import (
    changes,
    identity_record,
    known_inputs,
    refuse_another_output,
    refuse_another_run,
    resumed_record,
)
from gymctl.rollouts.journal import refuse_if_in_use
from gymctl.rollouts.pending import Rows
from gymctl.rollouts.rematch import rematch, row_digests
from gymctl.rollouts.run_lock import RunLock
from gymctl.rollouts.spec import RunFiles, RunSpec
from gymctl.rollouts.tasks import Inputs, check_agent, check_paths, input_digest, materialise


@dataclass
class RunStart:
    """Where a run starts from."""

    inputs: Inputs
    history: History
    record: dict[str, Any]
    """What is written next to the output."""
    notes: list[str] = field(default_factory=list)


def open_run(run: RunSpec, lock: RunLock) -> RunStart:
    """Check the input and prepare the files of the run, which ``lock`` keeps others from.

    Raises:
        InputError: the input or the agent is wrong, the run to resume is another one, or what is beside the output
            belongs to another one; nothing was changed.
        RunError: the output is being written by someone else, or the disk is full.
    """
    check_agent(run)
    if not run.force:
        refuse_another_output(run)
    refuse_if_in_use(run.files)
    remove_stale_temporaries(run.files.all())
    if run.resume:
        return _resume(run, lock)
    return _start(run, lock)


def take_lock(run: RunSpec) -> RunLock:
    """Take the run's files for this process, before anything of them is read.

    Raises:
        InputError: a file or folder is missing or of the wrong kind.
        RunError: another collection has them.
    """
    check_paths(run)
    return RunLock(run.files)


def _start(run: RunSpec, lock: RunLock) -> RunStart:
    notes: list[str] = []
    inputs = materialise(run, lambda: _clear(run.files, lock, run.force, notes))
    record = identity_record(run, inputs)
    lock.write(record)
    return RunStart(inputs, History(), record, notes)


def _resume(run: RunSpec, lock: RunLock) -> RunStart:
    files = run.files
    if not _holds_work(files):
        opening = _start(run, lock)
        opening.notes.append(f"nothing to resume in {run.output}: starting afresh")
        return opening
    record = lock.read()
    inputs = None
    notes: list[str] = []
    if record is None:
        if not run.force:
            raise InputError(
                f"cannot resume {run.output}: its run record {files.identity.name} is missing or unreadable",
                "use --force to resume anyway, or choose another output",
                ErrorCode.NO_RUN_RECORD,
            )
    elif not run.force:
        refuse_another_run(record, run, input_digest(run))
        inputs = known_inputs(record, files.materialized)
    if inputs is None:
        inputs = _materialise_again(run, record, notes)
        record = resumed_record(record, identity_record(run, inputs))
    assert record is not None  # noqa: S101 - a run without one was refused, or has just been described
    record.setdefault("run", os.urandom(4).hex())  # a record of an earlier release has none
    lock.write(record)
    rows = Rows(files.materialized)
    history = read_history(
        files.output, files.failures, rows.all_keys(), run.max_attempts, run.retry_failed, run.pass_threshold
    )
    rows.close()
    return RunStart(inputs, history, record, [*notes, *history.notes])


def _materialise_again(run: RunSpec, record: Mapping[str, Any] | None, notes: list[str]) -> Inputs:
    """Write the rows of a run that is resumed by force, and give the earlier results to the rows that are theirs."""
    files = run.files
    overridden = {*run.params_override, *_overridden(record)}
    if files.materialized.exists():
        before = row_digests(files.materialized, overridden)
    else:
        before = None
    inputs = materialise(run)
    if record is not None:
        notes += [f"resumed although {change}" for change in changes(record, run, inputs.digest)]
    if before is None:
        notes.append(f"{files.materialized} of the earlier run is missing: its results are matched by index")
    else:
        notes += rematch(files, before, row_digests(files.materialized, overridden))
    return inputs


def _overridden(record: Mapping[str, Any] | None) -> Collection[str]:
    """Names of the params that the earlier session overrode."""
    if record:
        options = record["identity"].get("options")
    else:
        options = None
    if isinstance(options, dict):
        override = options.get("responses_create_params")
    else:
        override = None
    if isinstance(override, dict):
        return override
    return ()


def _holds_work(files: RunFiles) -> bool:
    return any(path.exists() and path.stat().st_size for path in (files.output, files.failures))


def _clear(files: RunFiles, lock: RunLock, overwrite: bool, notes: list[str]) -> None:
    """Make room for a new run, keeping an earlier run's files: a forgotten option must not cost hours of work."""
    if _holds_work(files) and not overwrite:
        _set_aside(files, lock, notes)
    for path in files.replaceable():
        path.unlink(missing_ok=True)


def _set_aside(files: RunFiles, lock: RunLock, notes: list[str]) -> None:
    """Rename the family of files to the next free number; the identity file, which is locked, is copied."""
    aside, its_lock = _next_free(files)
    try:
        record = lock.read()
        if record is not None:
            its_lock.write(record)
        for old, new in zip(files.replaceable(), aside.replaceable(), strict=True):
            if old.exists():
                old.rename(new)
    finally:
        its_lock.release()
    notes.append(f"moved the previous rollouts to {aside.output} (--resume continues a run, --force overwrites it)")


def _next_free(files: RunFiles) -> tuple[RunFiles, RunLock]:
    """Names that nothing has, locked so that no other collection takes them meanwhile."""
    number = 0
    while True:
        number += 1
        aside = _numbered(files, number)
        if any(os.path.lexists(path) for path in aside.all()):
            continue
        lock = RunLock(aside)
        if not any(os.path.lexists(path) for path in aside.replaceable()):
            return aside, lock
        lock.release()


def _numbered(files: RunFiles, number: int) -> RunFiles:
    output = files.output
    return RunFiles(output.with_name(f"{output.stem}.{number}{output.suffix}"))
