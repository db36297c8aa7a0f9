"""``gymctl secrets``: which container can read which secret."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from gymctl.cli.loading import Configuration, MergeOrderOption, SliceOption, load, plan_for, stack_name

commands = typer.Typer(
    name="secrets", help="Which container can read which secret.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.add_typer(commands)


@commands.callback()
def _group() -> None:
    pass


@commands.command("list")
def list_secrets(
    configuration: Configuration = None,
    slices: SliceOption = "closure",
    merge_order: MergeOrderOption = None,
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the secrets of a configuration, never their values, with the containers that get each."""
    from rich.table import Table

    from gymctl.cli.output import wide_console

    config = load(configuration, merge_order)
    plan = plan_for(config, stack_name(None, Path.cwd()), nofile=65535, slices=slices)
    readers = {
        name: [service.name for service in plan.services if name in service.secrets]
        for name in sorted({*config.secrets, *plan.secrets})
    }
    if as_json:
        typer.echo(json.dumps(readers))
        return
    table = Table("secret", "read by", box=None, pad_edge=False, header_style="bold")
    for name, services in readers.items():
        table.add_row(name, ", ".join(services) or "nobody")
    wide_console().print(table)
