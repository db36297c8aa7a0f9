"""``gymctl status``: every server of this directory's stack, as it is now."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gymctl.engines.base import Engine, ServerStatus


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
    statuses = engine.status()
    if as_json:
        typer.echo(_as_json(statuses))
    else:
        from gymctl.cli.showing import status_table, wide_console

        wide_console().print(status_table(statuses))
    raise typer.Exit(0 if all(item.ok for item in statuses) else 1)


def _watch(engine: Engine, as_json: bool) -> None:
    from rich.live import Live

    from gymctl.cli.showing import status_table

    if as_json:
        while True:
            typer.echo(_as_json(engine.status()))
            time.sleep(1)
    with Live(status_table(engine.status()), refresh_per_second=4) as live:
        while True:
            time.sleep(1)
            live.update(status_table(engine.status()))


def _as_json(statuses: list[ServerStatus]) -> str:
    from dataclasses import asdict

    return json.dumps([{**asdict(item), "ok": item.ok} for item in statuses])
