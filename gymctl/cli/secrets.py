"""``gymctl secrets``: which container can read which secret, and the tokens of servers."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gymctl.cli.help import CONFIGURE, command_group
from gymctl.cli.options import AsJson, Configuration, MergeOrderOption, SliceOption, load_configuration
from gymctl.config.choices import SliceMode

commands = command_group("secrets", "Show which container can read which secret, and replace the servers' tokens.")


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


@commands.command("rotate")
def rotate() -> None:
    """Replace the tokens of the running stack's servers.

    For stacks with `tokens: true`. Takes about 6 seconds; no call fails and no server is restarted. On a Swarm,
    servers are replaced in rolling updates, which take a minute or more and end the sessions of stateful environments.
    """
    from gymctl.cli.display import UpDisplay
    from gymctl.config.wording import counted
    from gymctl.operations.token_rotation import rotate_tokens

    with UpDisplay() as display:
        count = rotate_tokens(on_event=display.on_event)
    typer.echo(f"{counted(count, 'token')} replaced")


@commands.command("token")
def token(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="Name of the server, or head.", show_default=False)],
) -> None:
    """Print the token that calls to a server need, for the header x-gymctl-token.

    For stacks with `tokens: true`.
    """
    from gymctl.operations.token_rotation import server_token

    typer.echo(server_token(server))
