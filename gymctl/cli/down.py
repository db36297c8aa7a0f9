"""``gymctl down``: stop this directory's stack and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(down)


def down(volumes: bool = typer.Option(False, "--volumes", help="Remove named volumes too.")) -> None:
    """Stop the stack and leave nothing of it behind.

    Its containers, network, secrets, state and rendered file are removed; what was collected stays.
    """
    from gymctl.engines.choice import engine_of

    removed = engine_of(Path.cwd()).down(volumes=volumes)
    for note in removed.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{removed.name} is down")
