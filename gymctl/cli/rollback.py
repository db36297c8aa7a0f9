"""``gymctl rollback``: back to the version of the stack before its last update."""

from __future__ import annotations

import json

import typer

from gymctl.cli.help import RUN
from gymctl.cli.options import AsJson, Verbose


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=RUN)(rollback)


def rollback(
    timeout: float = typer.Option(180.0, "--timeout", min=1, help="Seconds to wait until every server is healthy."),
    drain: float = typer.Option(
        600.0, "--drain", min=0, help="Seconds that old containers may take to finish their requests and sessions."
    ),
    while_collecting: bool = typer.Option(
        False,
        "--while-collecting",
        help="Change the stack during a collection: its later results come from the other version.",
    ),
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Return to the rendered file, images and secrets that the stack had before its last update.

    Containers are replaced as in an update: if the earlier version does not become healthy, the stack stays as it is.
    A second rollback returns to the version that the first one replaced.
    """
    from gymctl.cli.display import UpDisplay
    from gymctl.cli.output import interrupt_message
    from gymctl.operations.rollback import rollback as roll_back

    with interrupt_message(), UpDisplay() as display:
        state, summary = roll_back(
            timeout=timeout, drain=drain, while_collecting=while_collecting, on_event=display.on_event
        )
    if as_json:
        typer.echo(json.dumps({"name": state.name, "changes": summary}))
        return
    typer.echo(f"{state.name} is the previous version again: {summary}")
