"""Export a run for a trainer: index, select, convert row by row, write with a manifest that accounts for every rollout.

The files appear together at the end, or not at all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from gymctl.datasets.exports.atif import trajectory
from gymctl.datasets.exports.conversation import ExportedConversation, NotChatError, as_text_arguments, conversation_of
from gymctl.datasets.exports.export_report import ExportOptions, ExportReport
from gymctl.datasets.exports.manifest import manifest_of
from gymctl.datasets.exports.rollout_index import DropReason, RolloutEntry, RolloutIndex, read_index, read_result
from gymctl.datasets.exports.row_forms import (
    PREFERENCE,
    SUPERVISED,
    TASKS,
    Row,
    flat_columns,
    labelled,
    token_columns,
)
from gymctl.datasets.exports.selection import (
    apply_selection,
    keep_best,
    leave_incomplete_out,
    pairs_of,
    pass_rates,
    usable,
)
from gymctl.datasets.exports.token_row import TokenError, token_row
from gymctl.datasets.exports.writers import FORMS, CsvTable, JsonLines, ParquetTable, RowWriter
from gymctl.datasets.options import KINDS, ExportTarget, Kind, ToolArguments
from gymctl.datasets.output_set import OutputSet
from gymctl.datasets.rows import one_line
from gymctl.errors import InputError

_MOST_DETAILS = 50
_TOKEN_REASONS = frozenset(
    (DropReason.NO_TOKENS, DropReason.TOKENS_MALFORMED, DropReason.TOKENS_NOT_CONTIGUOUS, DropReason.UNREADABLE)
)


def default_kind(target: ExportTarget, kind: Kind | None) -> Kind | None:
    """The kind that is exported.

    Raises:
        InputError: the target does not have it.
    """
    kinds = KINDS[target]
    if kind is None:
        return next(iter(kinds), None)
    if not kinds:
        raise InputError(f"{target} has no kind {kind.value!r}", "omit --kind: this target exports whole rollouts")
    if kind not in kinds:
        raise InputError(f"{target} has no kind {kind.value!r}", f"it has {', '.join(kinds)}")
    return kind


def export(options: ExportOptions) -> ExportReport:
    """Export a run.

    Raises:
        InputError: the rollouts cannot be read, or nothing is left to export; nothing was written.
        RunError: the disk is full; nothing was written.
    """
    index = read_index(options.rollouts)
    complete = apply_selection(index, options.selection)
    with OutputSet(index.files) as outputs:
        run = _Export(options, index, complete, outputs)
        rows = run.write()
        if not rows:
            dropped = ", ".join(f"{count} {reason}" for reason, count in run.dropped().items())
            raise InputError(f"{options.rollouts}: nothing to export: {dropped}", "check the filters")
        manifest_path = options.output.with_name(f"{options.output.name}.manifest.json")
        report = run.report(rows, manifest_path)
        manifest = manifest_of(options, index, run.complete, report, outputs)
        outputs.write(manifest_path, json.dumps(manifest, indent=2).encode() + b"\n")
    return report


class _Export:
    """One export: every rollout that is not converted gets a reason."""

    def __init__(
        self, options: ExportOptions, index: RolloutIndex, complete: frozenset[int], outputs: OutputSet
    ) -> None:
        self.options = options
        self.index = index
        self.complete = complete
        self.outputs = outputs
        self.details: list[str] = []

    def write(self) -> int:
        """Write all rows; returns how many."""
        self._narrow()
        if self.options.target is ExportTarget.ATIF:
            return self._write_trajectories()
        writer = self._writer()
        rows = 0
        for row in self._rows():
            writer.write(row)
            rows += 1
        writer.close()
        return rows

    def _narrow(self) -> None:
        """Leave out what cannot be converted before the best are chosen, pairs are made or groups are called complete.

        It takes a pass of its own over the results; only these choices need it.
        """
        selection = self.options.selection
        checks: dict[Kind | None, Callable[[RolloutEntry, dict[str, Any]], Row | None]]
        checks = {Kind.DPO: self._completion, Kind.TOKENS: self._tokens}
        if selection.best is not None:
            checks[Kind.SFT] = self._supervised
            checks[Kind.KTO] = self._labelled
        if self.options.kind in checks:
            for _ in self._per_rollout(checks[self.options.kind]):
                pass
        if self.options.kind is Kind.TOKENS:
            broken = {rollout.task for rollout in self.index.rollouts if rollout.reason in _TOKEN_REASONS}
            self.complete -= broken
            if selection.complete_groups:
                leave_incomplete_out(self.index, self.complete)
        if selection.best is not None:
            keep_best(self.index, selection.best)

    def _writer(self) -> RowWriter:
        target = self.outputs.create(self.options.output)
        if self.options.target is ExportTarget.CSV:
            return CsvTable(target)
        if self.options.output.suffix != ".parquet":
            return JsonLines(target)
        form = FORMS.get((self.options.target, self.options.kind))
        if form is None:
            name = f"{self.options.target} {self.options.kind}"
            raise InputError(
                f"{self.options.output}: {name} is written as JSON lines", "use a name that ends in .jsonl"
            )
        return ParquetTable(target, form)

    def _rows(self) -> Iterator[Row]:
        if self.options.kind is None:
            return self._per_rollout(self._flat)
        return {
            Kind.SFT: lambda: self._per_rollout(self._supervised),
            Kind.KTO: lambda: self._per_rollout(self._labelled),
            Kind.TOKENS: lambda: self._per_rollout(self._tokens),
            Kind.DPO: self._pairs,
            Kind.GRPO: self._tasks,
        }[self.options.kind]()

    def _per_rollout(self, convert: Callable[[RolloutEntry, dict[str, Any]], Row | None]) -> Iterator[Row]:
        with self.index.path.open("rb") as lines:
            for rollout in usable(self.index.rollouts):
                try:
                    row = convert(rollout, read_result(lines, rollout))
                except msgspec.MsgspecError as error:
                    self._leave_out(rollout, DropReason.UNREADABLE, error)
                    continue
                if row is not None:
                    yield row

    def _conversation(self, rollout: RolloutEntry, result: dict[str, Any]) -> ExportedConversation | None:
        """The chat of a rollout when it has one that ends with an answer."""
        try:
            conversation = conversation_of(
                result,
                self.options.reasoning,
                developer_as_system=self.options.target is not ExportTarget.OPENAI,
                token_ids=self.options.target is ExportTarget.ATIF,
            )
        except NotChatError as error:
            self._leave_out(rollout, DropReason.NOT_CHAT, error)
            return None
        if self.options.kind is not None and not conversation.ends_with_answer:
            self._leave_out(rollout, DropReason.NO_ANSWER, "the last message is not an answer of the assistant")
            return None
        if self.options.arguments is ToolArguments.TEXT:
            return as_text_arguments(conversation)
        return conversation

    def _leave_out(self, rollout: RolloutEntry, reason: DropReason, detail: object) -> None:
        rollout.reason = reason
        if len(self.details) < _MOST_DETAILS:
            self.details.append(f"{rollout.name}: {reason}: {one_line(detail)}")

    def _supervised(self, rollout: RolloutEntry, result: dict[str, Any]) -> Row | None:
        conversation = self._conversation(rollout, result)
        if conversation is None:
            return None
        try:
            return SUPERVISED[self.options.target](conversation)
        except NotChatError as error:
            self._leave_out(rollout, DropReason.NOT_CHAT, error)
        return None

    def _labelled(self, rollout: RolloutEntry, result: dict[str, Any]) -> Row | None:
        conversation = self._conversation(rollout, result)
        if conversation is None:
            return None
        return labelled(conversation, passed=rollout.reward >= self.options.selection.threshold)

    def _tokens(self, rollout: RolloutEntry, result: dict[str, Any]) -> Row | None:
        try:
            tokens = token_row(result)
        except TokenError as error:
            self._leave_out(rollout, error.reason, error)
            return None
        is_complete = rollout.task in self.complete
        size = self.index.expected[rollout.task]
        return token_columns(rollout, tokens, group_size=size, group_complete=is_complete)

    def _flat(self, rollout: RolloutEntry, result: dict[str, Any]) -> Row | None:
        conversation = self._conversation(rollout, result)
        if conversation is None:
            return None
        return flat_columns(rollout, conversation, result, group_complete=rollout.task in self.complete)

    def _pairs(self) -> Iterator[Row]:
        """A row for each pair."""
        pairs = pairs_of(self.index, self.options.selection)
        with self.index.path.open("rb") as lines:
            for pair in pairs:
                chosen = self._conversation(pair.chosen, read_result(lines, pair.chosen))
                rejected = self._conversation(pair.rejected, read_result(lines, pair.rejected))
                if chosen is not None and rejected is not None:
                    yield PREFERENCE[self.options.target](chosen, rejected)

    def _completion(self, rollout: RolloutEntry, result: dict[str, Any]) -> Row | None:
        """Nothing; gives a reason to a rollout that no pair can hold."""
        conversation = self._conversation(rollout, result)
        if conversation is None:
            return None
        if self.options.target is ExportTarget.OPENAI and len(conversation.completion) != 1:
            self._leave_out(rollout, DropReason.TOOL_CALLS, "a preference of OpenAI is one message")
        return None

    def _tasks(self) -> Iterator[Row]:
        """One row a task: its input, with the share of rollouts that passed."""
        rates = pass_rates(self.index, self.options.selection.threshold)
        tasks = list(dict.fromkeys(rollout.task for rollout in usable(self.index.rollouts)))
        for task, row in self.index.inputs_of(tasks):
            try:
                prompt = conversation_of({**row, "response": {}}, self.options.reasoning)
                yield TASKS[self.options.target](task, row, prompt, rates.get(task))
            except NotChatError as error:
                for rollout in usable(self.index.groups()[task]):
                    self._leave_out(rollout, DropReason.NOT_CHAT, error)

    def _write_trajectories(self) -> int:
        """One file a rollout in the folder, which has no others.

        Raises:
            InputError: the folder has files, or is a file.
        """
        folder = self.options.output
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            hint = "choose another directory, or remove it"
            raise InputError(f"{folder}: exists and is not an empty directory", hint)
        session = self.options.rollouts.stem
        count = 0
        with self.index.path.open("rb") as lines:
            for rollout in usable(self.index.rollouts):
                result = read_result(lines, rollout)
                conversation = self._conversation(rollout, result)
                if conversation is None:
                    continue
                content = trajectory(rollout, conversation, result, session=session, version=self.options.version)
                path = self.options.output / f"{session}-{rollout.task}-{rollout.repeat}.json"
                self.outputs.write(path, json.dumps(content, indent=2).encode() + b"\n")
                count += 1
        return count

    def dropped(self) -> dict[str, int]:
        """How many rollouts are left out, by reason."""
        reasons = Counter(rollout.reason.value for rollout in self.index.rollouts if rollout.reason is not None)
        return dict(sorted(reasons.items()))

    def report(self, rows: int, manifest: Path) -> ExportReport:
        """What came of it."""
        dropped = self.dropped()
        return ExportReport(
            output=self.options.output,
            manifest=manifest,
            rows=rows,
            considered=len(self.index.rollouts),
            used=len(self.index.rollouts) - sum(dropped.values()),
            dropped=dropped,
            incomplete_tasks=len(self.index.expected) - len(self.complete),
            details=tuple(self.details),
        )
