"""``gymctl plan-nodes``: what each machine of a stack on several will hold, and what must be open between them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from gymctl.cli.help import SCALE
from gymctl.cli.options import AsJson, Configuration, GymRoot, GymVersion, MergeOrderOption, load_configuration
from gymctl.config.choices import Firewall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from gymctl.stack.capacity.machines import Machine


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan-nodes", rich_help_panel=SCALE)(plan_nodes)


def plan_nodes(
    configuration: Configuration = None,
    firewall: Firewall = typer.Option(None, "--firewall", help="Print the firewall rules of each machine."),
    as_json: AsJson = False,
    merge_order: MergeOrderOption = None,
    gym_root: GymRoot = None,
    gym_version: GymVersion = None,
) -> None:
    """Show what each machine will run, the size it needs, its ports, and the firewall rules between machines.

    CONFIG lists the files of all machines; the `host` of a server names its machine.

    \b
    Examples:
      gymctl plan-nodes coordinator.yaml worker-1.yaml worker-2.yaml
      gymctl plan-nodes coordinator.yaml worker-1.yaml --firewall nftables
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.operations.machines import plan_machines

    config = load_configuration(configuration, merge_order, quiet=True, gym_root=gym_root, gym_version=gym_version)
    machines = plan_machines(config, gym_version=gym_version)
    if as_json:
        typer.echo(json.dumps([_plain(machine, firewall) for machine in machines], indent=2))
    elif firewall:
        typer.echo(_rules(machines, firewall))
    else:
        from gymctl.cli.output import wide_console

        wide_console().print(_table(machines))
        if len(machines) > 1:
            typer.echo(f"\nrules: gymctl plan-nodes {' '.join(map(str, configuration or ()))} --firewall nftables")


def _plain(machine: Machine, firewall: Firewall | None) -> dict[str, object]:
    from dataclasses import asdict

    from gymctl.operations.machines import firewall_rules

    plain = asdict(machine)
    if firewall:
        return {**plain, "rules": firewall_rules(machine, firewall)}
    return plain


def _rules(machines: Sequence[Machine], firewall: Firewall) -> str:
    from gymctl.operations.machines import firewall_rules

    texts = [(machine, firewall_rules(machine, firewall)) for machine in machines]
    parts = [f"# on {machine.address} ({machine.role})\n{text}" for machine, text in texts if text]
    return "\n".join(parts).rstrip() or "# one machine: no open ports needed"


def _table(machines: Sequence[Machine]) -> Table:
    from rich.table import Table

    table = Table("machine", "role", "holds", "cores", "memory", "GPUs", "ports: from", box=None, pad_edge=False)
    table.header_style = "bold"
    for machine in machines:
        ports = [f"{opening.port} {opening.server}: {', '.join(opening.callers)}" for opening in machine.openings]
        table.add_row(
            machine.address,
            machine.role,
            "\n".join(machine.holds),
            f"{machine.cpus:g}+",
            f"{machine.memory_gb:g} GB+",
            machine.gpus,
            "\n".join(ports) or "-",
        )
    return table
