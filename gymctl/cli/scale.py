"""``gymctl scale``: the number of replicas of running servers."""

from __future__ import annotations

import json

import typer

from gymctl.cli import completion
from gymctl.cli.help import SCALE
from gymctl.cli.options import AsJson, Verbose


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=SCALE)(scale)


def scale(
    counts: list[str] = typer.Argument(
        ...,
        metavar="SERVER=REPLICAS",
        help="Replica count per server, e.g. my_agent=4.",
        autocompletion=completion.replica_counts,
    ),
    timeout: float = typer.Option(
        180.0,
        "--timeout",
        min=1,
        help="Seconds to wait for new replicas to become healthy, and for removed ones to finish their requests.",
    ),
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Change the number of replicas of running servers. Safe during a collection.

    \b
    Example:
      gymctl scale my_agent=4 policy_model=2

    The next `gymctl up` resets the counts to `replicas` in the configuration.
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.cli.display import UpDisplay
    from gymctl.operations.stack import scale as change_replicas

    requested = _parse(counts)
    with UpDisplay() as display:
        change_replicas(requested, timeout=timeout, on_event=display.on_event)
    if as_json:
        typer.echo(json.dumps(requested))
        return
    for name, count in requested.items():
        typer.echo(f"{name}: {count} replica{'s' if count > 1 else ''}")


def _parse(texts: list[str]) -> dict[str, int]:
    from gymctl.errors import InputError

    requested: dict[str, int] = {}
    for text in texts:
        name, equals, count = text.rpartition("=")
        if not (name and equals and count.isdecimal()):
            raise InputError(f"invalid argument {text!r}: expected SERVER=REPLICAS", "e.g. my_agent=4")
        if name in requested:
            raise InputError(f"{name} is given twice", "give one replica count per server")
        requested[name] = int(count)
    return requested
