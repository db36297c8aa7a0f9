"""``gymctl down``: stop this directory's stack and leave nothing behind."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from gymctl.cli.help import RUN
from gymctl.cli.options import AsJson, Verbose, print_notes


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=RUN)(down)


def down(
    volumes: bool = typer.Option(False, "--volumes", help="Remove named volumes too."),
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Stop the stack and remove its containers, networks, secrets, state and rendered file.

    Images, named volumes and collected results are kept.
    """
    from gymctl.operations.stack import down as stop

    removed = stop(volumes=volumes)
    if as_json:
        typer.echo(json.dumps(asdict(removed)))
        return
    print_notes(removed.notes)
    typer.echo(f"{removed.name} is down")
