"""``gymctl render``: the Compose or Swarm file of a configuration, nothing started."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gymctl.cli.help import CONFIGURE
from gymctl.cli.options import (
    Advertise,
    Configuration,
    Expose,
    ExposeTo,
    GymRoot,
    GymVersion,
    MergeOrderOption,
    NodeName,
    Publish,
    RoleOption,
    SliceOption,
    StackName,
    TokenFile,
    load_configuration,
    membership_options,
    plan_options,
    print_notes,
    typed_options,
)
from gymctl.config.choices import SliceMode, Target
from gymctl.config.vocabulary import Role

if TYPE_CHECKING:
    from gymctl.operations.render import Rendering

_STANDARD_OUTPUT = "-"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=CONFIGURE)(render)


def render(
    context: typer.Context,
    configuration: Configuration = None,
    output: str = typer.Option(_STANDARD_OUTPUT, "--output", "-o", help="File to write; - is standard output."),
    target: Target = typer.Option(Target.COMPOSE, "--target", help="Engine to render the file for."),
    name: StackName = None,
    merge_order: MergeOrderOption = None,
    slices: SliceOption = SliceMode.CLOSURE,
    gym_root: GymRoot = None,
    gym_version: GymVersion = None,
    cpu_nodes: int = typer.Option(1, "--cpu-nodes", help="(slurm) Nodes for the servers.", min=1, max=1000),
    nofile: int = typer.Option(65535, "--nofile", help="Open-file limit of each container.", min=256),
    publish: Publish = None,
    expose: Expose = None,
    expose_to: ExposeTo = None,
    role: RoleOption = Role.ALL,
    advertise: Advertise = None,
    node: NodeName = None,
    token_file: TokenFile = None,
    as_json: bool = typer.Option(False, "--json", help="Print the list of Swarm changes as JSON."),
) -> None:
    """Write the Compose or Swarm file, or the Slurm script, of a configuration. Starts nothing.

    The file has one service per named server, plus the head. The Swarm file is translated from the Compose file; every
    change and every unsupported key is listed.

    \b
    Examples:
      gymctl render examples/quickstart
      gymctl render model.yaml agent.yaml +policy_model_name=mine -o compose.yaml
      gymctl render examples/multi-environment --target swarm -o stack.yaml
      gymctl render examples/quickstart --target slurm -o stack.sbatch
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.operations import render as operation
    from gymctl.operations.membership import with_membership

    is_printed = output == _STANDARD_OUTPUT
    _check_json(target, as_json=as_json, is_printed=is_printed)
    operation.check_target(target, role, publish)
    config = load_configuration(configuration, merge_order, gym_root=gym_root, gym_version=gym_version, role=role)
    membership = membership_options(role, advertise, node, token_file)
    config = with_membership(config, membership, needs_token=not is_printed)
    options = plan_options(name, slices, gym_version, publish, expose=expose, expose_to=expose_to)
    rendering = operation.render(
        config,
        replace(options, nofile=nofile, cpu_nodes=cpu_nodes),
        target=target,
        directory=Path.cwd() if is_printed else Path(output).resolve().parent,
        typed_options=typed_options(context),
    )
    print_notes(rendering.notes)
    _print_changes(rendering, as_json=as_json)
    if is_printed:
        typer.echo(rendering.text, nl=False)
        return
    operation.write_rendering(rendering, Path(output), config)
    typer.echo(
        f"wrote {output}: {len(rendering.services)} services; {rendering.next_step.format(output=output)}",
        err=True,
    )


def _check_json(target: Target, *, as_json: bool, is_printed: bool) -> None:
    from gymctl.errors import InputError

    if as_json and (target is not Target.SWARM or is_printed):
        raise InputError(
            "--json prints the changes of --target swarm and needs an output file", "add --target swarm -o stack.yaml"
        )


def _print_changes(rendering: Rendering, *, as_json: bool) -> None:
    """What the translation for Swarm changed: on standard error, or as JSON on standard output."""
    if as_json:
        typer.echo(json.dumps([change.plain() for change in rendering.changes], indent=2))
        return
    if not rendering.changes:
        return
    from gymctl.stack.swarm import grouped

    for line in grouped(rendering.changes):
        typer.echo(f"swarm: {line}", err=True)
