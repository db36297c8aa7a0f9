"""``gymctl logs``: what the servers of this directory's stack say, whichever engine runs it."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(logs)


def logs(
    servers: list[str] = typer.Argument(None, metavar="SERVER", help="All when none is named.", show_default=False),
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on until Ctrl-C."),
    tail: int = typer.Option(
        None, "--tail", "-n", help="Only the last so many lines of each.", show_default=False, min=0
    ),
    since: str = typer.Option("", "--since", help="Only lines since then, such as 10m (containers only)."),
) -> None:
    """Show the servers' log lines.

    \b
    Examples:
      gymctl logs -f
      gymctl logs --tail 20 policy_model
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.engines.choice import engine_of
    from gymctl.engines.state import load_state
    from gymctl.errors import InputError

    directory = Path.cwd()
    state = load_state(directory)
    unknown = [name for name in servers or [] if name not in {server.name for server in state.servers}]
    if unknown:
        known = ", ".join(server.name for server in state.servers)
        raise InputError(f"the stack has no server {unknown[0]!r}", f"there are: {known}")
    engine_of(directory).logs(servers or [], typer.echo, follow=follow, tail=tail, since=since)
