"""Tables and messages of the commands."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from gymctl.cli.colours import STATE_COLOURS
from gymctl.config.wording import counted, duration

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from gymctl.config import Config
    from gymctl.config.console import Console
    from gymctl.engines.protocol import ServerStatus
    from gymctl.engines.state import StackState
    from gymctl.rollouts.report import Report

_KINDS = {
    "responses_api_models": "model",
    "responses_api_agents": "agent",
    "resources_servers": "resources",
    "environment_servers": "environment",
}


@contextmanager
def interrupt_message() -> Iterator[None]:
    """Print the message of an operation that Ctrl-C ended: what was saved, what is left to clean up."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        for message in interrupt.args:
            typer.echo(message, err=True)
        raise


def print_up(config: Config, state: StackState, *, as_json: bool) -> None:
    """Print that a stack is up, and the commands that are of use next; or the stack as JSON."""
    from gymctl.operations.next_steps import next_commands

    if as_json:
        typer.echo(
            json.dumps(
                {
                    "name": state.name,
                    "engine": state.engine,
                    "role": state.role,
                    "head_url": state.head_url,
                    "servers": [asdict(server) for server in state.servers],
                }
            )
        )
        return
    if state.role == "worker":
        typer.echo(f"{state.name} is up, registered with the head at {state.head_url}")
    else:
        typer.echo(f"{state.name} is up: {counted(len(state.servers), 'server')}, head at {state.head_url}")
    for command in next_commands(config, state):
        typer.echo(f"  {command}")


def wide_console() -> Console:
    """A console that never cuts a name short: on a narrow terminal a long row wraps, as ``docker ps`` has it."""
    from gymctl.config.console import Console

    return Console(width=240)


def status_table(statuses: Sequence[ServerStatus], *, is_wide: bool = False) -> Table:
    """Every server with its state and uptime; with replicas and nodes where the engine has them.

    ``is_wide`` adds what does not fit into 80 columns: implementation, health in its own column, address.
    """
    from rich.table import Table

    is_placed = any(status.nodes for status in statuses)
    is_counted = is_placed or any(status.replicas > 1 for status in statuses)
    columns = ["server", "kind", "state"]
    if is_wide:
        columns.append("health")
    if is_counted:
        columns.append("replicas")
    if is_placed:
        columns.append("nodes")
    columns.append("uptime")
    if is_wide:
        columns.append("address")
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    table.columns[0].no_wrap = True
    for status in statuses:
        cells = _cells(status, is_wide=is_wide)
        table.add_row(*(cells[column] for column in columns))
    return table


def _cells(status: ServerStatus, *, is_wide: bool) -> dict[str, Text | str]:
    """A server's row of the table, by column."""
    from rich.text import Text

    if status.exit_code:
        state = f"{status.state} ({status.exit_code})"
    else:
        state = status.state
    colour = STATE_COLOURS.get(status.state, "yellow")
    if not is_wide and status.state == "running" and status.health:
        state = status.health
        colour = STATE_COLOURS.get(status.health, "yellow")
    if status.restarts:
        state += f", {counted(status.restarts, 'restart')}"
    if status.running is None:
        running = int(status.ok)
    else:
        running = status.running
    kind = _KINDS.get(status.kind, status.kind)
    if is_wide and status.kind in _KINDS:
        kind = f"{status.kind}/{status.implementation}"
    return {
        "server": status.name,
        "kind": kind,
        "state": Text(state, style=colour),
        "health": Text(status.health or "-", style=STATE_COLOURS.get(status.health, "")),
        "replicas": f"{running}/{status.replicas}",
        "nodes": ", ".join(status.nodes) or "-",
        "uptime": "-" if status.uptime_seconds is None else duration(status.uptime_seconds),
        "address": f"{status.address} ({status.node})" if status.node else status.address,
    }


def history_table(statuses: Sequence[ServerStatus]) -> Table:
    """The fate of replicas that have ended, in order of time."""
    from rich.table import Table

    table = Table("when", "replica", "on", "what happened", box=None, pad_edge=False, header_style="bold")
    moments = [(moment, status.name) for status in statuses for moment in status.history]
    for moment, name in sorted(moments, key=lambda pair: pair[0].when):
        table.add_row(moment.when[:19].replace("T", " "), f"{name}.{moment.replica}", moment.node, moment.what)
    return table


def print_report(report: Report, *, as_json: bool) -> None:
    """Print the table of rewards, the files, and a sentence; or all of it as JSON."""
    if as_json:
        typer.echo(json.dumps(report.to_json()))
        return
    from rich.table import Table

    from gymctl.rollouts.report import headings

    console = wide_console()
    table = Table(*headings(report.pass_threshold), box=None, pad_edge=False, header_style="bold")
    for row in report.table_rows():
        table.add_row(*row)
    console.print(table)
    for failure_class, example in report.failure_examples.items():
        console.print(f"{failure_class}: {example}", style="red", markup=False, highlight=False, soft_wrap=True)
    for line in (*report.masked_lines(), *report.tool_error_lines()):
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(report.summary(), markup=False, highlight=False, soft_wrap=True)
    for name, path in report.files.items():
        console.print(f"  {name}: {path}", markup=False, highlight=False, soft_wrap=True)
    if report.failed:
        text = f"To retry the failed rollouts:\n  {_retry_command(sys.argv[1:])}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _retry_command(arguments: list[str]) -> str:
    """The command that tries what failed again; of a command other than ``collect``, the form of it."""
    if arguments[:1] != ["collect"]:
        return "gymctl collect ... --resume --retry-failed"
    same = [argument for argument in arguments if argument not in ("--resume", "--retry-failed", "--force")]
    return shlex.join(["gymctl", *same, "--resume", "--retry-failed"])
