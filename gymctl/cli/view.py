"""``gymctl view``: a web page of what was collected, and of the running stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gymctl.cli.help import INSPECT
from gymctl.config.vocabulary import LOOPBACK

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE|DIRECTORY",
        help="Results files, and directories to search for them; by default the working directory.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=INSPECT)(view)


def view(
    paths: Paths = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on.", show_default="8190, or a free one")
    ] = None,
    no_token: Annotated[
        bool,
        typer.Option("--no-token", help="Give access to every user of this machine. Loopback addresses only."),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also answer under this host name; repeatable.", show_default=False),
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show results, and the running stack, on a web page.

    Read-only. The printed address has a token; set GYMCTL_VIEW_TOKEN to choose it.

    \b
    Examples:
      gymctl view
      gymctl view rollouts.jsonl
      gymctl view runs/ --port 9000
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.viewer import ViewOptions, serve

    def on_ready(address: str) -> None:
        """Print the address, and open it when that was asked for."""
        typer.echo(f"{address}\nstop with Ctrl-C", err=False)
        if browser:
            typer.launch(address)

    options = ViewOptions(host=host, port=port, with_token=not no_token, allowed_hosts=tuple(allow_host or ()))
    serve(paths or [Path()], options, on_ready)
