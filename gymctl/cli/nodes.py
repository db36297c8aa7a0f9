"""``gymctl nodes``: the machines of the Swarm; empty one, take it back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from gymctl.cli.help import SCALE, command_group
from gymctl.cli.options import AsJson, Verbose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from gymctl.engines.protocol import Node

commands = command_group("nodes", "List, drain and activate the nodes of a Swarm.")


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.add_typer(commands, rich_help_panel=SCALE)


@commands.command("list")
def list_nodes(as_json: AsJson = False) -> None:
    """List the nodes with their state, availability, address and labels."""
    from dataclasses import asdict

    from gymctl.operations.nodes import list_nodes as ask

    nodes = ask()
    if as_json:
        typer.echo(json.dumps([asdict(node) for node in nodes]))
        return
    from gymctl.cli.output import wide_console

    wide_console().print(nodes_table(nodes))


def nodes_table(nodes: Sequence[Node], servers: Mapping[str, Sequence[str]] | None = None) -> Table:
    """Every node, with the servers that run on it when they are given (by the node's id)."""
    from rich.table import Table
    from rich.text import Text

    if servers is None:
        last = "labels"
    else:
        last = "servers"
    table = Table("node", "role", "state", "availability", "address", last, box=None, pad_edge=False)
    table.header_style = "bold"
    for node in nodes:
        labels = " ".join(f"{key}={value}" for key, value in sorted(node.labels.items()))
        table.add_row(
            node.name,
            node.role,
            Text(node.state, style="green" if node.state == "ready" else "red"),
            Text(node.availability, style="" if node.availability == "active" else "yellow"),
            node.address,
            labels if servers is None else ", ".join(servers.get(node.id, ())) or "-",
        )
    return table


@commands.command()
def drain(
    node: str = typer.Argument(..., metavar="NODE", help="Name or id of the node."),
    timeout: float = typer.Option(
        180.0, "--timeout", help="Seconds to wait until its servers run on other nodes.", min=1
    ),
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Drain a node without downtime: this directory's servers start on other nodes before they stop on this one."""
    from gymctl.cli.display import UpDisplay
    from gymctl.operations.nodes import drain as empty

    with UpDisplay() as display:
        moved = empty(node, timeout=timeout, on_event=display.on_event)
    if as_json:
        typer.echo(json.dumps({"node": node, "moved": list(moved)}))
        return
    if moved:
        result = f"{', '.join(moved)} moved"
    else:
        result = "it had no servers of this directory's stack"
    typer.echo(f"{node} is drained: {result}; make it available again with: gymctl nodes activate {node}")


@commands.command()
def activate(node: str = typer.Argument(..., metavar="NODE", help="Name or id of the node.")) -> None:
    """Make a drained node available again. Servers that moved to other nodes stay there."""
    from gymctl.operations.nodes import activate as take_back

    take_back(node)
    typer.echo(f"{node} accepts servers again")
