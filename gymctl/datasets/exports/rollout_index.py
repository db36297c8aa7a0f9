"""Every rollout of a run and whether it can be used: from its results, its failures and its inputs.

A rollout that failed, was masked or never ran has a reason instead of a reward. It is never a reward of 0, and its
group (all rollouts of its task) is incomplete. The index keeps some hundred bytes a rollout, not its content.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from gymctl.config.rows.row_files import is_compressed
from gymctl.errors import InputError

_OUTPUT = "name the output of gymctl collect"
_TASK = "_ng_task_index"
_REPEAT = "_ng_rollout_index"


class DropReason(StrEnum):
    """Why a rollout is left out."""

    FAILED = "failed"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    DUPLICATE = "duplicate"
    MASKED = "masked"
    NO_REWARD = "no_reward"
    INCOMPLETE_RESPONSE = "incomplete_response"
    INCOMPLETE_GROUP = "incomplete_group"
    REWARD_OUT_OF_RANGE = "reward_out_of_range"
    SOLVED_TOO_OFTEN_OR_RARELY = "solved_too_often_or_rarely"
    NOT_BEST = "not_best"
    NO_PAIR = "no_pair"
    NOT_CHAT = "not_chat"
    NO_ANSWER = "no_answer"
    TOOL_CALLS = "tool_calls"
    NO_TOKENS = "no_tokens"
    TOKENS_MALFORMED = "tokens_malformed"
    TOKENS_NOT_CONTIGUOUS = "tokens_not_contiguous"


@dataclass(slots=True)
class RolloutEntry:
    """One rollout: where its result is, and why it cannot be used if it cannot."""

    task: int
    repeat: int
    agent: str
    offset: int = -1
    """Byte offset of its line in the results; -1 without a result."""
    size: int = 0
    reward: float = math.nan
    is_cut: bool = False
    """Whether the model's answer was cut short."""
    reason: DropReason | None = None
    detail: str = ""

    @property
    def name(self) -> str:
        """``task:rollout``, as NeMo Gym writes it."""
        return f"{self.task}:{self.repeat}"


@dataclass
class RolloutIndex:
    """All rollouts of a run, in the order of their tasks."""

    path: Path
    rollouts: list[RolloutEntry]
    expected: Mapping[int, int]
    """How many rollouts each task should have."""
    inputs: Path | None
    """The run's inputs, when the file is there."""
    task_offsets: dict[int, int] = field(default_factory=dict)
    """Where the first input row of each task is."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of the run."""
        return (self.path, *(sibling(self.path, kind) for kind in ("failures", "materialized_inputs")))

    def groups(self) -> dict[int, list[RolloutEntry]]:
        """Rollouts by task."""
        groups: dict[int, list[RolloutEntry]] = defaultdict(list)
        for rollout in self.rollouts:
            groups[rollout.task].append(rollout)
        return dict(groups)

    def complete_tasks(self) -> frozenset[int]:
        """Tasks all of whose rollouts can be used."""
        usable = Counter(rollout.task for rollout in self.rollouts if rollout.reason is None)
        return frozenset(task for task, count in self.expected.items() if usable[task] >= count)

    def results(self, rollouts: list[RolloutEntry]) -> Iterator[tuple[RolloutEntry, dict[str, Any]]]:
        """The results of rollouts, one at a time."""
        with self.path.open("rb") as lines:
            for rollout in rollouts:
                yield rollout, read_result(lines, rollout)

    def inputs_of(self, tasks: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """The input row of each task, without the keys of its rollouts.

        Raises:
            InputError: the run's inputs are missing.
        """
        if self.inputs is None:
            name = sibling(self.path, "materialized_inputs")
            raise InputError(f"{name}: no such file; it has the rows of the run", "keep it next to the rollouts")
        with self.inputs.open("rb") as lines:
            for task in tasks:
                lines.seek(self.task_offsets[task])
                row = msgspec.json.decode(lines.readline())
                yield task, {key: value for key, value in row.items() if key not in (_TASK, _REPEAT)}


def read_result(lines: BinaryIO, rollout: RolloutEntry) -> dict[str, Any]:
    """The result of a rollout."""
    lines.seek(rollout.offset)
    result: dict[str, Any] = msgspec.json.decode(lines.read(rollout.size))
    return result


def sibling(path: Path, kind: str) -> Path:
    """Another file of the run: ``rollouts_failures.jsonl`` next to ``rollouts.jsonl``."""
    return path.with_name(f"{path.stem}_{kind}.jsonl")


class _Details(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    status: str | None = None
    incomplete_details: _Details | None = None


class _Instance(msgspec.Struct):
    mask_sample: bool | None = None


class _Head(msgspec.Struct):
    """The fields of a line that decide about it; the rest is skipped, not built."""

    task: int = msgspec.field(name=_TASK)
    repeat: int = msgspec.field(name=_REPEAT)
    agent_ref: dict[str, Any] | None = None
    reward: Any = None
    response: _Response | None = None
    mask_sample: Any = None
    instance_config: Any = None
    failure_kind: Any = None
    failure_class: Any = msgspec.field(name="_ng_failure_class", default=None)

    @property
    def agent(self) -> str:
        """Name of the agent; empty when the row names none."""
        return str((self.agent_ref or {}).get("name") or "")


_decoder = msgspec.json.Decoder(_Head)


def read_index(path: Path) -> RolloutIndex:
    """Read a run by the file of its results.

    Raises:
        InputError: the file is missing, or has no line that is a rollout.
    """
    _check_results(path)
    by_key: dict[tuple[int, int], RolloutEntry] = {}
    extra: list[RolloutEntry] = []
    for number, offset, line in _lines(path):
        rollout = _of_result(line, f"{path}:{number}")
        rollout.offset = offset
        rollout.size = len(line)
        if rollout.reason is not DropReason.UNREADABLE and (rollout.task, rollout.repeat) not in by_key:
            by_key[rollout.task, rollout.repeat] = rollout
            continue
        rollout.reason = rollout.reason or DropReason.DUPLICATE
        extra.append(rollout)
    _add_failures(sibling(path, "failures"), by_key)
    inputs = sibling(path, "materialized_inputs")
    offsets, expected = _add_missing(inputs, by_key)
    if not by_key:
        problem = next((rollout.detail for rollout in extra), f"{path}: no rollouts")
        raise InputError(problem, _OUTPUT)
    rollouts = [*sorted(by_key.values(), key=lambda item: (item.task, item.repeat)), *extra]
    return RolloutIndex(
        path=path,
        rollouts=rollouts,
        expected=expected or Counter(rollout.task for rollout in by_key.values()),
        inputs=inputs if inputs.is_file() else None,
        task_offsets=offsets,
    )


def _check_results(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a directory", _OUTPUT)
    if not path.is_file():
        raise InputError(f"{path}: no such file", _OUTPUT)
    if is_compressed(path):
        raise InputError(f"{path}: the file is compressed", "decompress it: rollouts are read in random order")


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Line number, byte offset and text of every line that is not blank."""
    offset = 0
    with path.open("rb", buffering=1 << 20) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, offset, line
            offset += len(line)


def _of_result(line: bytes, place: str) -> RolloutEntry:
    try:
        head = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return RolloutEntry(task=-1, repeat=-1, agent="", reason=DropReason.UNREADABLE, detail=f"{place}: {error}")
    rollout = RolloutEntry(task=head.task, repeat=head.repeat, agent=head.agent)
    rollout.reason = _unusable(head)
    if rollout.reason is None:
        rollout.reward = float(head.reward)
    else:
        rollout.detail = str(head.failure_kind or head.failure_class or "")
    response = head.response
    rollout.is_cut = response is not None and (
        response.status == "incomplete" or response.incomplete_details is not None
    )
    return rollout


def _unusable(head: _Head) -> DropReason | None:
    if head.failure_class is not None:
        return DropReason.FAILED
    instance = head.instance_config
    is_masked = isinstance(instance, dict) and instance.get("mask_sample") is True
    if head.mask_sample is True or is_masked or head.failure_kind is not None:
        return DropReason.MASKED
    if isinstance(head.reward, bool) or not isinstance(head.reward, int | float) or not math.isfinite(head.reward):
        return DropReason.NO_REWARD
    if head.response is None:
        return DropReason.UNREADABLE
    if head.response.status == "failed":
        return DropReason.FAILED
    return None


def _add_failures(path: Path, by_key: dict[tuple[int, int], RolloutEntry]) -> None:
    """Add rollouts that have failures and no result."""
    if not path.is_file():
        return
    for _, _, line in _lines(path):
        try:
            head = _decoder.decode(line)
        except msgspec.MsgspecError:
            continue  # a torn last line: the rollout is missing then
        failed = RolloutEntry(task=head.task, repeat=head.repeat, agent=head.agent, reason=DropReason.FAILED)
        failed.detail = str(head.failure_class or "")
        by_key.setdefault((head.task, head.repeat), failed)


def _add_missing(path: Path, by_key: dict[tuple[int, int], RolloutEntry]) -> tuple[dict[int, int], Counter[int]]:
    """Add rollouts that never ended; returns where each task's row is, and how many rollouts each task should have."""
    offsets: dict[int, int] = {}
    expected: Counter[int] = Counter()
    if not path.is_file():
        return offsets, expected
    for _, offset, line in _lines(path):
        try:
            head = _decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise InputError(f"{path}: a line is not a row of a run: {error}", "collect again") from error
        offsets.setdefault(head.task, offset)
        expected[head.task] += 1
        missing = RolloutEntry(task=head.task, repeat=head.repeat, agent=head.agent, reason=DropReason.MISSING)
        by_key.setdefault((head.task, head.repeat), missing)
    return offsets, expected
