"""``gymctl why-slow``: where the time of collected rollouts went."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from gymctl.cli.help import INSPECT


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("why-slow", rich_help_panel=INSPECT)(why_slow)


def why_slow(
    rollouts: Path = typer.Argument(..., metavar="ROLLOUTS", help="Output file of a collection (JSONL)."),
    as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
) -> None:
    """Show where rollouts spend their time, hop by hop."""
    from dataclasses import asdict

    from gymctl.rollouts.timing import summarise_file

    waterfalls = summarise_file(rollouts)
    if as_json:
        typer.echo(json.dumps([asdict(waterfall) for waterfall in waterfalls]))
        return
    from rich.table import Table

    from gymctl.cli.output import wide_console
    from gymctl.rollouts.tool_errors import describe_tool_errors

    console = wide_console()
    for waterfall in waterfalls:
        spent = f"p50 {waterfall.p50_ms:.1f} ms, p95 {waterfall.p95_ms:.1f} ms"
        title = f"{waterfall.agent}: {waterfall.rollouts} rollouts, {spent}"
        table = Table("hop", "p50 ms", "p95 ms", "share", "", box=None, pad_edge=False, header_style="bold")
        for share in waterfall.hops:
            bar = "█" * round(share.share * 40)
            table.add_row(share.hop, f"{share.p50_ms:.1f}", f"{share.p95_ms:.1f}", f"{share.share:.0%}", bar)
        console.print(title, style="bold", markup=False, highlight=False)
        console.print(table)
        if waterfall.tool_errors:
            line = f"tool calls that failed: {describe_tool_errors(waterfall.tool_errors)}"
            console.print(line, style="yellow", markup=False, highlight=False)
