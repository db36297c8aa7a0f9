"""State left by earlier sessions of a run: which rollouts are done, and how often the others were tried."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gymctl.config.rows.row_fields import (
    AGENT_REF,
    ATTEMPT_INDEX,
    FAILURE,
    FAILURE_CLASS,
    FAILURE_TERMINAL,
    MASK_SAMPLE,
    ROLLOUT_INDEX,
    TASK_INDEX,
    TOOL_ERRORS,
)
from gymctl.rollouts.failures import BLAMELESS, COLLATERAL, REFUSED, is_retriable
from gymctl.rollouts.files import replacing
from gymctl.rollouts.journal import cut_torn_tail
from gymctl.rollouts.report import AgentReport
from gymctl.rollouts.tool_errors import read_tool_errors

Key = tuple[int, int]
# A refusal may be an outage or a crowd; so many for each attempt that a rollout has (three at least) may be the row's.
REFUSALS_PER_ATTEMPT = 3


class AgentRef(msgspec.Struct):
    """The name in an ``agent_ref``."""

    name: str = ""


class ResultHead(msgspec.Struct):
    """The few fields of a result that a scan needs; the rest of the line is skipped unread."""

    task: int = msgspec.field(name=TASK_INDEX)
    repeat: int = msgspec.field(name=ROLLOUT_INDEX)
    reward: float | bool = 0.0
    agent: AgentRef = msgspec.field(name=AGENT_REF, default_factory=AgentRef)
    tool_errors: Any = msgspec.field(name=TOOL_ERRORS, default=None)
    mask_sample: Any = msgspec.field(name=MASK_SAMPLE, default=None)

    @property
    def is_masked(self) -> bool:
        """Whether its reward is not a measurement."""
        return self.mask_sample is True

    @property
    def key(self) -> Key:
        """Its (task, repeat)."""
        return self.task, self.repeat


class FailureFlags(msgspec.Struct):
    """What the run thought of it; None in a row that gymctl has not written, or an earlier release of it."""

    retriable: bool | None = None
    counted: bool | None = None


class FailureHead(msgspec.Struct):
    """The same of a failure."""

    task: int = msgspec.field(name=TASK_INDEX)
    repeat: int = msgspec.field(name=ROLLOUT_INDEX)
    failure_class: str = msgspec.field(name=FAILURE_CLASS)
    terminal: bool = msgspec.field(name=FAILURE_TERMINAL, default=False)
    attempt: int = msgspec.field(name=ATTEMPT_INDEX, default=0)
    agent: AgentRef = msgspec.field(name=AGENT_REF, default_factory=AgentRef)
    cause: FailureFlags = msgspec.field(name=FAILURE, default_factory=FailureFlags)

    @property
    def key(self) -> Key:
        """Its (task, repeat)."""
        return self.task, self.repeat

    @property
    def retriable(self) -> bool:
        """Whether another try may end differently."""
        if self.cause.retriable is None:
            return is_retriable(self.failure_class)
        return self.cause.retriable

    @property
    def counted(self) -> bool:
        """Whether it used up an attempt."""
        if self.cause.counted is None:
            return self.failure_class not in BLAMELESS
        return self.cause.counted


@dataclass
class Tries:
    """What was tried of one rollout. ``attempts`` are used up; ``refusals`` and ``crashes`` are failures of others."""

    attempts: int = 0
    refusals: int = 0
    crashes: int = 0

    def add(self, failure: FailureHead) -> None:
        """Count one failed attempt of an earlier session."""
        if failure.counted:
            self.attempts = max(self.attempts, failure.attempt + 1)
        elif failure.failure_class in COLLATERAL:
            self.crashes += 1
        elif failure.failure_class in REFUSED:
            self.refusals += 1


def refused_too_often(refusals: int, max_attempts: int) -> bool:
    """Whether a rollout was turned away so often that the row itself may be the cause."""
    return refusals >= REFUSALS_PER_ATTEMPT * max(3, max_attempts)


@dataclass
class History:
    """``done``: keys of results. ``tries``: what was tried of the others. ``failed``: agent and class, final ones.

    All of them of the inputs' rollouts; ``agents`` sums up their results. A hundred thousand keys take some 20 MB.
    ``notes`` say what was repaired, and what else is there.
    """

    done: set[Key] = field(default_factory=set)
    tries: dict[Key, Tries] = field(default_factory=dict)
    failed: dict[Key, tuple[str, str]] = field(default_factory=dict)
    agents: dict[str, AgentReport] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


Head = TypeVar("Head")


def lines_of(path: Path, head: type[Head]) -> Iterator[tuple[bytes, Head | None]]:
    """Lines of a JSONL file with what ``head`` names of each; None for a line that is not of that kind."""
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(head)
    with path.open("rb", buffering=1 << 20) as lines:
        for line in lines:
            try:
                if not line.isascii():
                    line.decode()  # the decoder does not check the text of fields that it skips
                yield line, decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                yield line, None


def read_history(
    output: Path,
    failures: Path,
    inputs: Iterable[Key],
    max_attempts: int,
    retry_failed: bool = False,
    pass_threshold: float = 1.0,
) -> History:
    """Repair both files, then read what they say of the rollouts in ``inputs``.

    A retriable failure is final only while ``max_attempts`` is used up, whatever its row says, so that a higher number
    on resume means what it says; with ``retry_failed`` every failed rollout starts afresh.
    """
    history = History()
    done = _repaired(output, ResultHead, history.notes)
    tried = _repaired(failures, FailureHead, history.notes)
    known = {key for key in inputs if key in done or key in tried}  # no larger than what was done, as the rest of it
    if done:
        _add_results(history, output, known, pass_threshold)
    if tried and not retry_failed:
        _add_failures(history, failures, known, max_attempts)
    others = len(done) - len(history.done)
    if others:
        history.notes.append(f"{output}: {others} rollouts belong to other inputs; they are kept but not counted")
    return history


def _add_failures(history: History, path: Path, known: Collection[Key], max_attempts: int) -> None:
    """Count the failures of rollouts in ``known`` that have no result."""
    for _, failure in lines_of(path, FailureHead):
        if failure is not None and failure.key in known and failure.key not in history.done:
            _count(history, failure, max_attempts)


def _add_results(history: History, output: Path, known: set[Key], pass_threshold: float) -> None:
    for _, row in lines_of(output, ResultHead):
        if row is not None and row.key in known and row.key not in history.done:
            history.done.add(row.key)
            report = history.agents.setdefault(row.agent.name, AgentReport(pass_threshold=pass_threshold))
            report.count(float(row.reward), read_tool_errors(row.tool_errors), is_masked=row.is_masked)


def _count(history: History, failure: FailureHead, max_attempts: int) -> None:
    tries = history.tries.setdefault(failure.key, Tries())
    tries.add(failure)
    final = tries.attempts >= max_attempts
    if failure.terminal:
        final = final or not failure.retriable or refused_too_often(tries.refusals, max_attempts)
    if final:
        history.failed[failure.key] = (failure.agent.name, failure.failure_class)


def _repaired(path: Path, head: type[ResultHead] | type[FailureHead], notes: list[str]) -> set[Key]:
    """Remove incomplete lines; returns the keys of the others. Several results of one rollout are noted."""
    cut = cut_torn_tail(path)
    if cut:
        notes.append(f"{path}: removed an incomplete last line of {cut} bytes")
    if not path.exists():
        return set()
    broken = 0
    rows = 0
    keys = set()
    for _, row in lines_of(path, head):
        if row is None:
            broken += 1
        else:
            rows += 1
            keys.add(row.key)
    if broken:
        with replacing(path) as out:
            out.writelines(line for line, row in lines_of(path, head) if row is not None)
        notes.append(f"{path}: removed {broken} broken lines; their rollouts will be repeated")
    if head is ResultHead and rows > len(keys):
        notes.append(f"{path}: {rows - len(keys)} results repeat a rollout; only the first of each rollout is counted")
    return keys
