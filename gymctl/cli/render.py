"""``gymctl render``: the Compose or Swarm file of a configuration, nothing started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gymctl.cli.loading import (
    Configuration,
    GymRoot,
    GymVersion,
    MergeOrderOption,
    Publish,
    SliceOption,
    StackName,
    check_swarm_publish,
    load,
    plan_for,
    say_notes,
    shown_arguments,
    shown_options,
    stack_name,
)
from gymctl.cli.roles import (
    Advertise,
    NodeName,
    RoleOption,
    TokenFile,
    check_swarm_role,
    keep_token,
    published_head,
    role_of,
    with_membership,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gymctl.config import Config, Role
    from gymctl.stack import StackPlan
    from gymctl.stack.swarm import SwarmRendering

_TARGETS = ("compose", "swarm")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(render)


def render(
    context: typer.Context,
    configuration: Configuration = None,
    output: str = typer.Option("-", "--output", "-o", help="File to write; - is standard output."),
    target: str = typer.Option("compose", "--target", help="What the file is for: compose or swarm."),
    name: StackName = None,
    merge_order: MergeOrderOption = None,
    slices: SliceOption = "closure",
    gym_root: GymRoot = None,
    gym_version: GymVersion = None,
    nofile: int = typer.Option(65535, "--nofile", help="Open files that a container may have.", min=256),
    publish: Publish = None,
    role: RoleOption = None,
    advertise: Advertise = None,
    node: NodeName = None,
    token_file: TokenFile = None,
    as_json: bool = typer.Option(False, "--json", help="Say what --target swarm changed as JSON, on standard output."),
) -> None:
    """Write the Compose or Swarm file of a configuration; start nothing.

    It has one service per named server, plus the head. A file for Swarm is translated from the one for Compose; every
    change and every loss is said.

    \b
    Examples:
      gymctl render examples/quickstart
      gymctl render model.yaml agent.yaml +policy_model_name=mine -o compose.yaml
      gymctl render examples/multi-environment --target swarm -o stack.yaml
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.stack import one_machine_notes, render_stack

    part = role_of(role)
    shown = output == "-"
    _check_options(target, publish, part, as_json=as_json, shown=shown)
    config = load(configuration, merge_order, gym_root=gym_root, role=part)
    config = with_membership(config, part, advertise=advertise, node=node, token_file=token_file, needs_token=not shown)
    publish = published_head(config, part, publish)
    called = stack_name(name, Path.cwd() if shown else Path(output).resolve().parent)
    plan = plan_for(
        config, called, nofile=nofile, slices=slices, gym_root=gym_root, gym_version=gym_version, publish=publish
    )
    arguments = (*shown_arguments(configuration, config), *shown_options(context))
    files: Mapping[str, bytes] = {}
    if target == "swarm":
        say_notes(plan.notes)
        rendering = _swarm(plan, arguments, as_json=as_json)
        text, files, count = rendering.text, rendering.files, len(rendering.services)
    else:
        say_notes((*plan.notes, *one_machine_notes(plan.services)))
        text, count = render_stack(plan, arguments=arguments), len(plan.services)
    if shown:
        typer.echo(text, nl=False)
        return
    _write(output, text, files, plan, config)
    next_step = "up --engine swarm" if target == "swarm" else "up"
    typer.echo(
        f"wrote {output}: {count} services; `gymctl {next_step}` builds their images and starts them",
        err=True,
    )


def _write(output: str, text: str, files: Mapping[str, bytes], plan: StackPlan, config: Config) -> None:
    """The rendered file, and beside it what it names: secrets, files."""
    from gymctl.engines.compose.engine import check_ours
    from gymctl.engines.state import write_atomically, write_files, write_secrets
    from gymctl.errors import InputError

    path = Path(output).resolve()
    directory = path.parent
    if not directory.is_dir():
        raise InputError(f"{output}: its folder does not exist", f"create it: mkdir -p {Path(output).parent}")
    check_ours(path)
    if plan.secrets:
        write_secrets(directory, plan.secrets)
    keep_token(config, directory)
    write_files(directory, files)
    write_atomically(path, text, mode=0o644)


def _check_options(target: str, publish: str | None, role: Role, *, as_json: bool, shown: bool) -> None:
    from gymctl.errors import InputError

    if target not in _TARGETS:
        raise InputError(f"--target is {target!r}", f"it must be {' or '.join(_TARGETS)}")
    if as_json and (target != "swarm" or shown):
        raise InputError("--json says what --target swarm changed, beside a file", "add --target swarm -o stack.yaml")
    if target == "swarm":
        check_swarm_publish(publish)
        check_swarm_role(role)


def _swarm(plan: StackPlan, arguments: Sequence[str], *, as_json: bool) -> SwarmRendering:
    """The stack file; what the translation changed goes to standard error, or as JSON to standard output."""
    from gymctl.stack.swarm import grouped, render_swarm

    rendering = render_swarm(plan, arguments=arguments)
    if as_json:
        typer.echo(json.dumps([change.plain() for change in rendering.changes], indent=2))
    else:
        for line in grouped(rendering.changes):
            typer.echo(f"swarm: {line}", err=True)
    return rendering
