"""``gymctl policy``: the endpoints of running model servers."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gymctl.cli.colours import label
from gymctl.cli.help import SCALE, command_group
from gymctl.cli.options import AsJson, Verbose
from gymctl.config.wording import counted

commands = command_group("policy", "Set and show the endpoints of running model servers.")


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.add_typer(commands, rich_help_panel=SCALE)


@commands.command("set")
def set_endpoints(
    urls: Annotated[list[str], typer.Argument(metavar="URL", help="Base URLs of interchangeable endpoints.")],
    server: Annotated[
        str | None,
        typer.Option("--server", help="Model server.", show_default="policy_model, or the only one"),
    ] = None,
    weight_version: Annotated[
        str,
        typer.Option("--weight-version", help="Version of the weights, recorded in each response.", show_default=False),
    ] = "",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Replace the endpoints of a running model server. Safe during a collection.

    \b
    Example:
      gymctl policy set http://10.0.0.7:8000/v1 http://10.0.0.8:8000/v1

    Returns when every process of the server uses the new list. A session stays on its endpoint as long as
    the endpoint is listed. Calls in progress at a removed endpoint are repeated at another one, so the removed endpoint
    can be stopped once the command returns.
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from dataclasses import asdict

    from gymctl.operations.policy import set_policy

    changed = set_policy(urls, server=server, weight_version=weight_version)
    for text in changed.notes:
        typer.echo(f"{label('note:', 'yellow')} {changed.server}: {text}", err=True)
    if as_json:
        typer.echo(json.dumps(asdict(changed)))
        return
    endpoints = counted(len(changed.urls), "endpoint")
    if changed.processes:
        typer.echo(f"{changed.server}: {endpoints}, in use by {_processes(changed.processes)}")
    else:
        typer.echo(f"{changed.server}: {endpoints}; it is not running yet and will use them when it starts")


@commands.command()
def show(as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Show the endpoints that have been set since the stack was started."""
    from dataclasses import asdict

    from gymctl.operations.policy import show_policy

    lists = show_policy()
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in lists]))
        return
    if not lists:
        typer.echo("no endpoints were set; the model servers use those of their configuration")
    for entry in lists:
        version = f", weights {entry.weight_version}" if entry.weight_version else ""
        late = f", {entry.late} of them late" if entry.late else ""
        typer.echo(f"{entry.server}: revision {entry.revision}{version}, {_processes(entry.processes)}{late}")
        for url in entry.urls:
            typer.echo(f"  {url}")


def _processes(number: int) -> str:
    if number == 1:
        return "1 process"
    return f"{number} processes"
