"""``gymctl status``: every server of this directory's stack, as it is now."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import typer

from gymctl.cli.help import INSPECT
from gymctl.cli.options import AsJson
from gymctl.config.choices import StatusFormat

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gymctl.operations.status import StackStatus

_EVERY_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=INSPECT)(status)


def status(
    as_json: AsJson = False,
    form: StatusFormat = typer.Option(
        StatusFormat.NORMAL, "--output", "-o", help="wide: show the implementation and address of each server."
    ),
    watch: bool = typer.Option(False, "--watch", "-w", help="Repeat until Ctrl-C."),
) -> None:
    """Show every server's state, health and uptime; with -o wide also its address.

    Running collections are listed with the command that stops each. The exit code is 1 when a server is not healthy.
    """
    from gymctl.operations.status import status as ask

    is_wide = form is StatusFormat.WIDE
    if watch:
        _watch(as_json=as_json, is_wide=is_wide)
    stack = ask()
    if as_json:
        typer.echo(_as_json(stack))
    else:
        from gymctl.cli.output import wide_console

        wide_console().print(_tables(stack, is_wide=is_wide))
    raise typer.Exit(0 if stack.ok else 1)


def _watch(*, as_json: bool, is_wide: bool) -> None:
    """Ask once a second until Ctrl-C."""
    from rich.live import Live

    from gymctl.operations.status import status as ask

    while as_json:
        typer.echo(_as_json(ask()))
        time.sleep(_EVERY_S)
    with Live(_tables(ask(), is_wide=is_wide), refresh_per_second=4) as live:
        while True:
            time.sleep(_EVERY_S)
            live.update(_tables(ask(), is_wide=is_wide))


def _tables(stack: StackStatus, *, is_wide: bool) -> RenderableType:
    """The servers; for a Swarm also its nodes and the history of earlier replicas."""
    from rich.console import Group
    from rich.text import Text

    from gymctl.cli.nodes import nodes_table
    from gymctl.cli.output import history_table, status_table

    parts: list[RenderableType] = [status_table(stack.servers, is_wide=is_wide), f"{stack.name}: {stack.summary}"]
    parts += [Text(f"{server.name} {server.error}", style="red") for server in stack.servers if server.error]
    parts += [
        Text(f"collecting into {run.output} (process {run.pid}); to stop it: kill -INT {run.pid}")
        for run in stack.collections
    ]
    if stack.nodes:
        parts += ["", nodes_table(stack.nodes, {node.id: stack.servers_on(node) for node in stack.nodes})]
    if any(server.history for server in stack.servers):
        parts += ["", history_table(stack.servers)]
    return Group(*parts)


def _as_json(stack: StackStatus) -> str:
    """The servers, then the running collections as entries of the kind ``collection``."""
    from dataclasses import asdict

    servers = [{**asdict(server), "ok": server.ok} for server in stack.servers]
    running = [
        {
            "name": run.output,
            "kind": "collection",
            "state": "running",
            "ok": True,
            **asdict(run),
            "stop": f"kill -INT {run.pid}",
        }
        for run in stack.collections
    ]
    return json.dumps([*servers, *running])
