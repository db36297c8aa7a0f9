"""``gymctl report``: a run as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gymctl.cli import results_options as options
from gymctl.cli.help import INSPECT

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="HTML file to write.", show_default="next to the results"),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=INSPECT)(report)


def report(file: options.File, output: Output = None, pass_threshold: options.Threshold = 1.0) -> None:
    """Write an HTML report of a run: a single file of at most 2 MB.

    It opens without a server. It contains aggregates over all rollouts and the conversations of up to 50; anyone with
    the file can read them.

    \b
    Examples:
      gymctl report rollouts.jsonl
      gymctl report rollouts.jsonl -o report.html
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.cli.results_output import opened
    from gymctl.results import report_path, write_report_page

    with opened(file) as index:
        page = write_report_page(index, output or report_path(file), pass_threshold)
    typer.echo(f"{page.path}: {page.size / 1e6:.2f} MB, {page.rollouts} conversations")
