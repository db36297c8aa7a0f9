"""``gymctl data check``: rows against the environments that they go to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gymctl.cli.data import AsJson, MappingOption
from gymctl.cli.options import Configuration, GymRoot

if TYPE_CHECKING:
    from gymctl.datasets.row_checks import CheckReport


def register(group: typer.Typer) -> None:
    """Add the sub-command to ``gymctl data``."""
    group.command()(check)


def check(
    configuration: Configuration = None,
    rows: Annotated[
        list[Path] | None,
        typer.Option("--input", "-i", help="Check these rows instead of the declared data sets.", show_default=False),
    ] = None,
    mapping: MappingOption = None,
    attempts: Annotated[
        int, typer.Option("--try", help="Try N rows of each data set with its server, without a model.", metavar="N")
    ] = 0,
    gym_root: GymRoot = None,
    as_json: AsJson = False,
) -> None:
    """Check rows against their environments. No stack is started.

    Exits with 2 if a row is invalid.

    \b
    Examples:
      gymctl data check stack.yaml
      gymctl data check stack.yaml --input data/prepared/train.jsonl
      gymctl data check stack.yaml --try 5
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.datasets.declarations import load_declarations
    from gymctl.datasets.mapping import MappingFile, read_mapping
    from gymctl.datasets.row_checks import CheckReport, check_rows, files_of

    config = load_declarations(configuration or [], cwd=Path.cwd(), environ=os.environ, mode=None, gym_root=gym_root)
    report = CheckReport()
    files = files_of(config, rows or [], report)
    if mapping:
        mapped = read_mapping(mapping, Path.cwd())
    else:
        mapped = MappingFile()
    check_rows(config, files, mapped, report)
    if attempts:
        from gymctl.datasets.trial import try_rows

        tried = try_rows(config, files, mapped, report, attempts)
        report.notes.append(f"{tried} rows were tried with their servers")
    _print_check(report, as_json=as_json)


def _print_check(report: CheckReport, *, as_json: bool) -> None:
    problems = report.problems
    if as_json:
        plain = {
            "ok": not problems.count,
            "files": [vars(file) for file in report.files],
            "problems": {"count": problems.count, "first": problems.listed},
            "notes": report.notes,
        }
        typer.echo(json.dumps(plain))
        raise typer.Exit(2 if problems.count else 0)
    for note in report.notes:
        typer.echo(f"note: {note}", err=True)
    for file in report.files:
        typer.echo(f"{file.name}: {file.valid} of {file.rows} rows are valid, at most {file.most_words} words")
    problems.raise_if_any("correct the rows; gymctl data prepare --invalid drop leaves invalid ones out")
