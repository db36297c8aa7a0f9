"""Prepare data sets: validate, route, repeat and count every row, and write files by type.

The files are NeMo Gym's (``train_data_utils.py``, nemo-gym 0.4.0 to 0.7.0). Everything is read once, row by row, and
written next to its target; the targets appear together at the end, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO

from gymctl.config.rows.row_files import read_rows
from gymctl.datasets.create_params import ParamsFigures, figures_of
from gymctl.datasets.declarations import DataConfig, Declaration
from gymctl.datasets.options import DatasetType, InvalidRows, RowRelease
from gymctl.datasets.output_set import OutputSet
from gymctl.datasets.prepare_report import PreparedDataset, PrepareOptions, PrepareReport
from gymctl.datasets.prepared_files import MetricsFile, check_changes, read_record, record_content, sidecar_path
from gymctl.datasets.prompts import PARAMS, RowError
from gymctl.datasets.row_digests import RowDigests
from gymctl.datasets.row_metrics import RowMetrics, merged
from gymctl.datasets.rows import RowProblems, parse_row
from gymctl.datasets.shapes import native_row
from gymctl.errors import InputError

AGENT_REF = "agent_ref"
TASK_SOURCE = "task_source"
RECORD = "prepare_record.json"
_HINT = "nothing was written; correct the rows, or leave them out with --invalid drop"


def prepare(config: DataConfig, options: PrepareOptions) -> PrepareReport:
    """Prepare the data sets of a configuration.

    Raises:
        InputError: a data set is missing, rows are invalid, or metrics of the same data changed; nothing was written.
        RunError: the disk is full; nothing was written.
    """
    check_present(config.declarations)
    with OutputSet(item.file for item in config.declarations if item.file is not None) as outputs:
        preparation = _Preparation(options, outputs)
        for kind in options.mode.types:
            preparation.prepare_type(kind, [item for item in config.declarations if item.entry.type == kind])
        if options.invalid is not InvalidRows.DROP:
            preparation.broken.raise_if_any(_HINT)
        if options.invalid is InvalidRows.REFUSE:
            preparation.invalid.raise_if_any(_HINT)
        preparation.write_metrics()
        notes = preparation.notes()
    return PrepareReport(
        files=preparation.files,
        datasets=tuple(preparation.datasets),
        invalid=tuple(preparation.broken.listed + preparation.invalid.listed),
        notes=tuple(notes),
    )


def check_present(declarations: tuple[Declaration, ...]) -> None:
    """See that every data set's file is there.

    Raises:
        InputError: files are missing; each with the place of its declaration.
    """
    missing = [
        f"{item.place}: no such file: {item.path} ({item.entry.name} of {item.server})"
        for item in declarations
        if item.file is None
    ]
    if missing:
        raise InputError("\n".join([*missing, "add the files, or fetch them with --download"]))
    if not declarations:
        raise InputError("no data set is in scope", "check --mode and the 'datasets' of the configuration")


class _Preparation:
    """One pass over all data sets."""

    def __init__(self, options: PrepareOptions, outputs: OutputSet) -> None:
        self.options = options
        self.outputs = outputs
        self.broken = RowProblems()
        """Rows that are not JSON objects: only dropping gets past them."""
        self.invalid = RowProblems()
        self.files: dict[DatasetType, Path] = {}
        self.datasets: list[PreparedDataset] = []
        self.rows: dict[DatasetType, RowDigests] = {}
        self.tasks: dict[DatasetType, RowDigests] = {}

    def prepare_type(self, kind: DatasetType, declarations: list[Declaration]) -> None:
        """Write the rows of all data sets of a type."""
        if not declarations:
            return
        path = self.options.output / f"{kind}.jsonl"
        self.files[kind] = path
        self.rows[kind] = RowDigests()
        self.tasks[kind] = RowDigests()
        target = self.outputs.create(path)
        for declaration in declarations:
            targets = [target]
            folder = self._sidecar_folder(declaration)
            if folder is not None:
                sidecar = sidecar_path(folder, declaration, "_prepare.jsonl", self.outputs.paths)
                targets.append(self.outputs.create(sidecar))
            self.datasets.append(self._prepare_dataset(declaration, targets))

    def _sidecar_folder(self, declaration: Declaration) -> Path | None:
        """The folder that files next to a data set are below; None when there are none, or it is read-only."""
        folder = self.options.sidecars
        if folder is None:
            return None
        parent = (folder / declaration.path).parent
        existing = next(place for place in (parent, *parent.parents) if place.exists())
        if os.access(existing, os.W_OK):
            return folder
        return None

    def _prepare_dataset(self, declaration: Declaration, targets: list[BinaryIO]) -> PreparedDataset:
        path = declaration.file
        if path is None:
            raise InputError(f"{declaration.path}: no such file")
        entry = declaration.entry
        self.rows[entry.type].start(path)
        self.tasks[entry.type].start(path)
        metrics = RowMetrics()
        digest = hashlib.blake2b(digest_size=16)
        invalid_before = self.broken.count + self.invalid.count
        rows = written = 0
        for line, text in read_rows(path, lambda line, message: self.broken.add(path, line, message)):
            rows += 1
            digest.update(text)
            row = self._row(declaration, path, line, text, metrics)
            if row is None:
                continue
            packed = f"{json.dumps(row)}\n".encode()
            for target in targets:
                target.writelines(repeat(packed, entry.num_repeats))
            written += entry.num_repeats
        return PreparedDataset(
            declaration=declaration,
            rows=rows,
            written=written,
            invalid=self.broken.count + self.invalid.count - invalid_before,
            digest=digest.hexdigest(),
            metrics=metrics,
        )

    def _row(
        self, declaration: Declaration, path: Path, line: int, text: bytes, metrics: RowMetrics
    ) -> dict[str, Any] | None:
        """The row as it is written, or None; counted when it is valid."""
        entry = declaration.entry
        try:
            original = parse_row(text)
        except RowError as error:
            self.broken.add(path, line, error)
            return None
        try:
            row = self._shaped(original, declaration)
            figures = figures_of(row.get(PARAMS))
        except RowError as error:
            self.invalid.add(path, line, error)
            if self.options.invalid is not InvalidRows.KEEP:
                return None
            return self._stamped(original, declaration)
        self.rows[entry.type].add(line, hash(text))
        self.tasks[entry.type].add(line, figures.digest)
        self._count(metrics, original, row, figures, entry.num_repeats, declaration)
        return self._stamped(row, declaration)

    def _shaped(self, row: dict[str, Any], declaration: Declaration) -> dict[str, Any]:
        if declaration.prompt is not None:
            return declaration.prompt.apply(row)
        return native_row(row, self.options.mapping.of(declaration.entry.name))

    def _count(
        self,
        metrics: RowMetrics,
        original: Mapping[str, Any],
        row: Mapping[str, Any],
        figures: ParamsFigures,
        times: int,
        declaration: Declaration,
    ) -> None:
        """Count the row; NeMo Gym counts before it applies a prompt, and then most rows do not count."""
        if self.options.release is not None and declaration.prompt is not None:
            try:
                metrics.observe(original, figures_of(original.get(PARAMS)), times)
            except RowError:
                return
        else:
            metrics.observe(row, figures, times)

    def _stamped(self, row: dict[str, Any], declaration: Declaration) -> dict[str, Any]:
        """The row with the keys that route it."""
        if self.options.stamps_agent:
            row[AGENT_REF] = {"type": "responses_api_agents", "name": declaration.agent}
        else:
            row.pop(AGENT_REF, None)
        if self.options.stamps_source:
            row[TASK_SOURCE] = declaration.server
        return row

    def write_metrics(self) -> None:
        """Write the metrics and the record of the preparation.

        Raises:
            InputError: metrics of the same data differ from those that are there.
        """
        record_path = self.options.output / RECORD
        record = record_content(self.datasets, self.options)
        metrics = [*self._by_type(), *self._by_dataset()]
        if not self.options.update_metrics:
            check_changes(metrics, read_record(record_path), record)
        for file in metrics:
            self.outputs.write(file.path, json.dumps(file.content, indent=4).encode())
        self.outputs.write(record_path, json.dumps(record, indent=2).encode() + b"\n")

    def _by_type(self) -> list[MetricsFile]:
        files = []
        for kind in self.files:
            parts = [item for item in self.datasets if item.declaration.entry.type == kind]
            total = merged((part.metrics for part in parts), as_upstream=self.options.release is not None)
            content = self._dump(total, parts[0].declaration)
            files.append(MetricsFile(self.options.output / f"{kind}_metrics.json", content, kind.value))
        return files

    def _by_dataset(self) -> list[MetricsFile]:
        """Metrics next to each data set; those of one file that is declared twice are written once when equal."""
        files: dict[Path, MetricsFile] = {}
        for item in self.datasets:
            folder = self._sidecar_folder(item.declaration)
            if folder is None:
                continue
            content = self._dump(item.metrics, item.declaration)
            taken = [path for path, file in files.items() if file.content != content]
            path = sidecar_path(folder, item.declaration, "_metrics.json", taken)
            files[path] = MetricsFile(path, content, item.declaration.key)
        return list(files.values())

    def _dump(self, metrics: RowMetrics, declaration: Declaration) -> dict[str, Any]:
        header = declaration.entry.header(self.options.release or RowRelease.V0_7)
        return metrics.dump(header, columns_replace_header=self.options.release is not None)

    def notes(self) -> list[str]:
        """What is worth knowing about the data: empty and repeated data."""
        notes = [
            f"{item.declaration.file}: the file has no rows ({item.declaration.entry.name})"
            for item in self.datasets
            if not item.rows
        ]
        notes += [
            f"{item.declaration.path}: the directory is read-only; nothing was written next to the data"
            for item in self.datasets
            if self.options.sidecars is not None and self._sidecar_folder(item.declaration) is None
        ]
        for kind, digests in self.rows.items():
            repeated = digests.repeated()
            if repeated.count:
                again, first = repeated.examples[0]
                notes.append(f"{kind}: {repeated.count} rows repeat an earlier one, first {again} (same as {first})")
        if {DatasetType.TRAIN, DatasetType.VALIDATION} <= self.tasks.keys():
            overlap = self.tasks[DatasetType.VALIDATION].also_in(self.tasks[DatasetType.TRAIN])
            if overlap.count:
                held, trained = overlap.examples[0]
                notes.append(f"validation: {overlap.count} tasks are also in train, first {held} (same as {trained})")
        return notes
