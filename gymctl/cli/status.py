"""``gymctl status``: every server of this directory's stack, as it is now."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gymctl.engines.base import ServerStatus


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
    if watch:
        _watch(as_json)
        return
    statuses = read_status(Path.cwd())
    if as_json:
        typer.echo(_as_json(statuses))
    else:
        from gymctl.cli.showing import status_table, wide_console

        wide_console().print(status_table(statuses))
    raise typer.Exit(0 if all(item.ok for item in statuses) else 1)


def read_status(directory: Path) -> list[ServerStatus]:
    """The servers of the directory's stack, whichever engine runs it.

    Raises:
        InputError: no stack was brought up there.
        EngineError: the engine does not answer.
    """
    from gymctl.engines.compose import ComposeEngine
    from gymctl.engines.local_control import LocalEngine
    from gymctl.engines.state import load_state

    engine = LocalEngine(directory) if load_state(directory).engine == "local" else ComposeEngine(directory)
    return engine.status()


def _watch(as_json: bool) -> None:
    from rich.live import Live

    from gymctl.cli.showing import status_table

    if as_json:
        while True:
            typer.echo(_as_json(read_status(Path.cwd())))
            time.sleep(1)
    with Live(status_table(read_status(Path.cwd())), refresh_per_second=4) as live:
        while True:
            time.sleep(1)
            live.update(status_table(read_status(Path.cwd())))


def _as_json(statuses: list[ServerStatus]) -> str:
    from dataclasses import asdict

    return json.dumps([{**asdict(item), "ok": item.ok} for item in statuses])
