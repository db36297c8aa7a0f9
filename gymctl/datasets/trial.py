"""Try rows with the real resources server and no model: it is seeded with each row and judges an empty answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from gymctl.datasets.declarations import DataConfig, Declaration
from gymctl.datasets.mapping import MappingFile
from gymctl.datasets.prompts import PARAMS, RowError
from gymctl.datasets.row_checks import CheckReport, RowFile
from gymctl.datasets.rows import RowProblems, one_line, read_objects
from gymctl.datasets.shapes import native_row
from gymctl.errors import InputError
from gymctl.server.responses import message
from gymctl.server.testing import Episode, episode


def try_rows(
    config: DataConfig, files: Sequence[RowFile], mapping: MappingFile, report: CheckReport, count: int
) -> int:
    """Try the first ``count`` rows of every declared file; returns how many were tried.

    This imports the server's code. What the server refuses (status 4xx) is a problem of the row; what it cannot do
    without the rest of the stack (5xx) is noted.
    """
    tried = 0
    for file in files:
        declaration = file.declaration
        if declaration is None or declaration.folder is None:
            report.notes.append(f"{file.path}: not tried: the code of its server was not found")
            continue
        try:
            tried += _try_file(declaration, config, file.path, mapping, report, count)
        except InputError as error:
            report.notes.append(f"{file.path}: not tried: {declaration.folder.name} cannot be started here: {error}")
    return tried


def _try_file(
    declaration: Declaration, config: DataConfig, path: Path, mapping: MappingFile, report: CheckReport, count: int
) -> int:
    """Try rows of one file, each with a server and a session of its own."""
    folder = declaration.folder or Path()
    tried = 0
    for line, row in islice(read_objects(path, RowProblems()), count):
        try:
            if declaration.prompt is not None:
                converted = declaration.prompt.apply(row)
            else:
                converted = native_row(row, mapping.of(declaration.entry.name))
        except RowError:
            continue  # check_rows reports it
        tried += 1
        with episode(folder, **config.fields.get(folder, {})) as server:
            _try_row(server, converted, path, line, report)
    return tried


def _try_row(server: Episode, row: Mapping[str, Any], path: Path, line: int, report: CheckReport) -> None:
    answered = {PARAMS: {"input": ""}, **row, "response": {"output": [message("")]}}
    for endpoint, body in (("/seed_session", row), ("/verify", answered)):
        reply = server.post(endpoint, body)
        text = one_line(reply.body.decode(errors="replace"))
        if 400 <= reply.status < 500:
            report.problems.add(path, line, f"{endpoint} answers {reply.status}: {text}")
            return
        if reply.status >= 500:
            report.notes.append(
                f"{path}:{line}: {endpoint} answers {reply.status} without the rest of the stack: {text}"
            )
            return
