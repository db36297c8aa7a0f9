"""``gymctl logs``: log lines of the servers of this directory's stack."""

from __future__ import annotations

import typer

from gymctl.cli import completion
from gymctl.cli.help import INSPECT


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=INSPECT)(logs)


def logs(
    servers: list[str] = typer.Argument(
        None,
        metavar="SERVER",
        help="Servers to show; all by default.",
        show_default=False,
        autocompletion=completion.servers,
    ),
    follow: bool = typer.Option(False, "--follow", "-f", help="Follow until Ctrl-C."),
    tail: int = typer.Option(
        None, "--tail", "-n", help="Show only the last N lines of each server.", show_default=False, min=0
    ),
    rollout: str = typer.Option(
        "",
        "--rollout",
        metavar="TASK:REPEAT",
        help="Show only the lines of one rollout, from all servers, in chronological order.",
        show_default=False,
    ),
    since: str = typer.Option("", "--since", help="Show only lines since a time, e.g. 10m (containers only)."),
) -> None:
    """Show server logs.

    \b
    Examples:
      gymctl logs -f
      gymctl logs --tail 20 policy_model
      gymctl logs --rollout 12:3
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.operations.stack import logs as read_logs

    read_logs(servers or (), typer.echo, follow=follow, tail=tail, since=since, rollout=rollout)
