"""``gymctl status``: every server of this directory's stack, as it is now."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gymctl.engines.protocol import Engine, ServerStatus


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    watch: bool = typer.Option(False, "--watch", "-w", help="Go on until Ctrl-C."),
) -> None:
    """Show every server's state, health, uptime and address.

    The exit code is 1 when one of them is not well.
    """
    from gymctl.engines.choice import engine_of

    engine = engine_of(Path.cwd())
    if watch:
        _watch(engine, as_json)
        return
    statuses = _all(engine)
    if as_json:
        typer.echo(_as_json(statuses))
    else:
        from gymctl.cli.output import wide_console

        wide_console().print(_shown(engine, statuses))
    raise typer.Exit(0 if all(item.ok for item in statuses) else 1)


def _all(engine: Engine) -> list[ServerStatus]:
    """The servers of this machine, and those that other machines registered with its head."""
    from gymctl.engines.remote_servers import registered_servers
    from gymctl.engines.state import load_state

    state = load_state(Path.cwd())
    return [*engine.status(), *(registered_servers(state.head_url) if state.takes_workers else [])]


def _watch(engine: Engine, as_json: bool) -> None:
    from rich.live import Live

    if as_json:
        while True:
            typer.echo(_as_json(_all(engine)))
            time.sleep(1)
    with Live(_shown(engine, _all(engine)), refresh_per_second=4) as live:
        while True:
            time.sleep(1)
            live.update(_shown(engine, _all(engine)))


def _shown(engine: Engine, statuses: list[ServerStatus]) -> RenderableType:
    """The table of servers; of a Swarm also its nodes, and what became of replicas that are no more."""
    from rich.console import Group
    from rich.text import Text

    from gymctl.cli.nodes import nodes_table
    from gymctl.cli.output import history_table, status_table
    from gymctl.engines.swarm.engine import SwarmEngine

    table = status_table(statuses)
    if not isinstance(engine, SwarmEngine):
        return table
    servers: dict[str, list[str]] = {}
    for status in statuses:
        for node in status.node_ids:
            servers.setdefault(node, []).append(status.name)
    errors = [Text(f"{status.name} {status.error}", style="red") for status in statuses if status.error]
    parts: list[RenderableType] = [table, *errors, "", nodes_table(engine.nodes(), servers)]
    if any(status.history for status in statuses):
        parts += ["", history_table(statuses)]
    return Group(*parts)


def _as_json(statuses: list[ServerStatus]) -> str:
    from dataclasses import asdict

    return json.dumps([{**asdict(item), "ok": item.ok} for item in statuses])
