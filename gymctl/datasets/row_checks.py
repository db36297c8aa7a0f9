"""Check rows against the environments that they go to, before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from gymctl.config.wording import did_you_mean
from gymctl.datasets.create_params import ParamsFigures, figures_of
from gymctl.datasets.declarations import DataConfig, Declaration
from gymctl.datasets.json_values import agent_name
from gymctl.datasets.mapping import MappingFile
from gymctl.datasets.options import DatasetType
from gymctl.datasets.prompts import PARAMS, RowError
from gymctl.datasets.row_digests import RowDigests
from gymctl.datasets.rows import RowProblems, read_objects
from gymctl.datasets.server_code import ServerCode, read_server_code
from gymctl.datasets.shapes import native_row

LARGE_BYTES = 4 * 1024 * 1024
"""Rows above this do not fit into the images that NeMo Gym's servers run in."""


@dataclass(frozen=True)
class CheckedFile:
    """Figures of one file."""

    name: str
    rows: int
    valid: int
    most_words: int
    """Words of the longest parameters, a proxy for tokens."""


@dataclass
class CheckReport:
    """The result of a check; the data is valid if ``problems`` is empty."""

    files: list[CheckedFile] = field(default_factory=list)
    problems: RowProblems = field(default_factory=RowProblems)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RowFile:
    """A file of rows: one that a configuration declares, or one that is named."""

    path: Path
    declaration: Declaration | None = None
    """The agent of its rows; None if each row names its own."""

    @property
    def type(self) -> DatasetType | None:
        """What it is for, when that is declared."""
        if self.declaration:
            return self.declaration.entry.type
        return None


def files_of(config: DataConfig, named: Sequence[Path], report: CheckReport) -> list[RowFile]:
    """The files to check: those that are named, else all declared ones; missing ones are noted."""
    if named:
        return [RowFile(path) for path in named]
    files = []
    for declaration in config.declarations:
        if declaration.file is None:
            report.notes.append(f"{declaration.place}: no such file: {declaration.path}; not checked")
        else:
            files.append(RowFile(declaration.file, declaration))
    return files


def check_rows(config: DataConfig, files: Sequence[RowFile], mapping: MappingFile, report: CheckReport) -> None:
    """Check every row of the files; adds to the report.

    Raises:
        InputError: a file cannot be read.
    """
    checker = _Checker(config, mapping, report)
    for file in files:
        checker.check(file)
    checker.compare()


class _Checker:
    def __init__(self, config: DataConfig, mapping: MappingFile, report: CheckReport) -> None:
        self._config = config
        self._mapping = mapping
        self._report = report
        self._tasks: dict[DatasetType | None, RowDigests] = {}
        self._code = cache(read_server_code)

    def check(self, file: RowFile) -> None:
        """Check the rows of one file."""
        tasks = self._tasks.setdefault(file.type, RowDigests())
        tasks.start(file.path)
        rows = valid = most_words = large = without_tools = 0
        problems = self._report.problems
        for line, row in read_objects(file.path, problems):
            rows += 1
            try:
                converted, figures = self._converted(row, file)
                folder = self._folder(converted, file)
            except RowError as error:
                problems.add(file.path, line, error)
                continue
            faults = list(self._faults(converted, folder))
            without_tools += self._offers_what_no_server_has(converted, folder)
            for fault in faults:
                problems.add(file.path, line, fault)
            valid += not faults
            most_words = max(most_words, figures.words)
            large += figures.size > LARGE_BYTES
            tasks.add(line, figures.digest)
        self._report.files.append(CheckedFile(name=str(file.path), rows=rows, valid=valid, most_words=most_words))
        if not rows:
            self._report.notes.append(f"{file.path}: the file has no rows")
        if without_tools:
            text = f"{without_tools} rows offer tools, but their server has none: calls to them will fail"
            self._report.notes.append(f"{file.path}: {text}")
        if large:
            self._report.notes.append(f"{file.path}: {large} rows are larger than {LARGE_BYTES >> 20} MiB")

    def _converted(self, row: dict[str, Any], file: RowFile) -> tuple[dict[str, Any], ParamsFigures]:
        declaration = file.declaration
        if declaration is not None and declaration.prompt is not None:
            row = declaration.prompt.apply(row)
        else:
            row = native_row(row, self._mapping.of(declaration.entry.name if declaration else ""))
        return row, figures_of(row.get(PARAMS))

    def _folder(self, row: dict[str, Any], file: RowFile) -> Path | None:
        """The folder of the resources server that scores a row.

        Raises:
            RowError: the row names an agent that the configuration does not have.
        """
        if file.declaration is not None:
            return file.declaration.folder
        for kind, name, known in (
            ("agent", agent_name(row), self._config.agents),
            ("task_source", row.get("task_source"), tuple(self._config.servers)),
        ):
            if name in known:
                return self._config.folders.get(str(name))
            if name is not None:
                hint = did_you_mean(name, known) or f"the configuration has {', '.join(known) or 'none'}"
                raise RowError(f"unknown {kind} {name!r}; {hint}")
        raise RowError('the row names no agent; add "agent_ref": {"name": ...} or "task_source"')

    def _faults(self, row: Mapping[str, Any], folder: Path | None) -> Iterator[str]:
        if folder is None:
            return
        code = self._code(folder)
        if code is not None:
            yield from field_faults(row, code)
            yield from tool_faults(row, code)

    def _offers_what_no_server_has(self, row: Mapping[str, Any], folder: Path | None) -> bool:
        code = None
        if folder is not None:
            code = self._code(folder)
        return code is not None and code.tools == frozenset() and bool(row[PARAMS].get("tools"))

    def compare(self) -> None:
        """Note repeated tasks, and tasks of the validation data that are also trained on."""
        for kind, digests in self._tasks.items():
            repeated = digests.repeated()
            if repeated.count:
                again, first = repeated.examples[0]
                if kind:
                    name = f"{kind}: "
                else:
                    name = ""
                self._report.notes.append(
                    f"{name}{repeated.count} rows repeat the task of an earlier one, first {again} (same as {first})"
                )
        for kind in (DatasetType.VALIDATION, DatasetType.BENCHMARK):
            if kind in self._tasks and DatasetType.TRAIN in self._tasks:
                overlap = self._tasks[kind].also_in(self._tasks[DatasetType.TRAIN])
                for held, trained in overlap.examples[:1]:
                    self._report.notes.append(
                        f"{kind}: {overlap.count} tasks are also in train, first {held} (same as {trained})"
                    )


def field_faults(row: Mapping[str, Any], code: ServerCode) -> Iterator[str]:
    """Fields that ``verify`` needs and the row lacks, or has with another type."""
    for name, row_field in code.fields.items():
        if name not in row:
            if row_field.is_required:
                others = row.keys() - code.fields.keys()
                hint = (
                    did_you_mean(name, others) or f"it is a field of verify in {code.path.parent.name}/{code.path.name}"
                )
                yield f"the field {name!r} is missing; {hint}"
        elif not row_field.type.fits(row[name]):
            yield f"the field {name!r} is {_brief(row[name])}; it must be {row_field.type.text}"


def tool_faults(row: Mapping[str, Any], code: ServerCode) -> Iterator[str]:
    """Functions that the row offers and the server does not have; one without any may judge calls it never runs."""
    if not code.tools:
        return
    for tool in row[PARAMS].get("tools") or ():
        name = tool.get("name")
        if tool.get("type") == "function" and name not in code.tools:
            has = ", ".join(sorted(code.tools))
            hint = did_you_mean(name, code.tools) or f"{code.path.parent.name} has {has}"
            yield f"the tool {name!r} is unknown; {hint}"


def _brief(value: Any) -> str:
    text = repr(value)
    if len(text) > 60:
        text = f"{text[:57]}..."
    return text
