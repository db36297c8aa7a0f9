"""``gymctl down``: stop this directory's stack and leave nothing behind."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(down)


def down(volumes: bool = typer.Option(False, "--volumes", help="Remove named volumes too.")) -> None:
    """Stop the stack and leave nothing of it behind.

    Its containers, network, secrets, state and rendered file are removed; what was collected stays.
    """
    from gymctl.cli.options import print_notes
    from gymctl.operations.stack import down as stop

    removed = stop(volumes=volumes)
    print_notes(removed.notes)
    typer.echo(f"{removed.name} is down")
