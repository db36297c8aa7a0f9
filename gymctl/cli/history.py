"""``gymctl history``: who changed this directory's stack, when, and how that ended."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

import typer

from gymctl.cli.help import INSPECT
from gymctl.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=INSPECT)(history)


def history(as_json: AsJson = False) -> None:
    """List the changes of the stack: who made them, when, and how they ended. `gymctl down` removes the list."""
    from gymctl.operations.stack_change import history as changes_of_stack

    changes = changes_of_stack()
    if as_json:
        typer.echo(json.dumps([asdict(change) for change in changes], indent=2))
        return
    from rich.table import Table

    from gymctl.cli.output import wide_console

    table = Table("time", "command", "user", "result", "seconds", "changes", box=None, pad_edge=False)
    for change in changes:
        when = datetime.fromisoformat(change.time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        seconds = f"{change.seconds:g}"
        table.add_row(when, change.command, change.user, change.outcome, seconds, change.detail.partition("\n")[0])
    wide_console().print(table)
