"""``gymctl secrets``: which container can read which secret."""

from __future__ import annotations

import json

import typer

from gymctl.cli.help import CONFIGURE, command_group
from gymctl.cli.options import AsJson, Configuration, MergeOrderOption, SliceOption, load_configuration
from gymctl.config.choices import SliceMode

commands = command_group("secrets", "Show which container can read which secret.")


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.add_typer(commands, rich_help_panel=CONFIGURE)


@commands.command("list")
def list_secrets(
    configuration: Configuration = None,
    slices: SliceOption = SliceMode.CLOSURE,
    merge_order: MergeOrderOption = None,
    as_json: AsJson = False,
) -> None:
    """List the secrets of a configuration, never their values, with the containers that get each."""
    from rich.table import Table

    from gymctl.cli.output import wide_console
    from gymctl.operations.configuration import PlanOptions
    from gymctl.operations.secrets import secret_readers

    config = load_configuration(configuration, merge_order)
    readers = secret_readers(config, PlanOptions(slice_mode=slices))
    if as_json:
        typer.echo(json.dumps(readers))
        return
    if not readers:
        typer.echo("this configuration has no secrets")
        return
    table = Table("secret", "read by", box=None, pad_edge=False, header_style="bold")
    for name, services in readers.items():
        table.add_row(name, ", ".join(services) or "nobody")
    wide_console().print(table)
