"""``gymctl render``: the Compose file of a configuration, nothing started."""

from __future__ import annotations

from pathlib import Path

import typer

from gymctl.cli.loading import (
    Configuration,
    GymRoot,
    GymVersion,
    MergeOrderOption,
    SliceOption,
    StackName,
    load,
    plan_for,
    say_notes,
    shown_arguments,
    stack_name,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(render)


def render(
    configuration: Configuration = None,
    output: str = typer.Option("-", "--output", "-o", help="File to write; - is standard output."),
    name: StackName = None,
    merge_order: MergeOrderOption = None,
    slices: SliceOption = "closure",
    gym_root: GymRoot = None,
    gym_version: GymVersion = None,
    nofile: int = typer.Option(65535, "--nofile", help="Open files that a container may have.", min=256),
) -> None:
    """Write the Compose file of a configuration; start nothing.

    It has one service per named server, plus the head.

    \b
    Examples:
      gymctl render examples/quickstart
      gymctl render model.yaml agent.yaml +policy_model_name=mine -o compose.yaml
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.engines.compose import check_ours
    from gymctl.engines.state import write_atomically, write_secrets
    from gymctl.errors import InputError
    from gymctl.stack import render_stack

    config = load(configuration, merge_order, gym_root=gym_root)
    path = Path(output).resolve()
    directory = Path.cwd() if output == "-" else path.parent
    called = stack_name(name, directory)
    plan = plan_for(config, called, nofile=nofile, slices=slices, gym_root=gym_root, gym_version=gym_version)
    text = render_stack(plan, arguments=shown_arguments(configuration, config))
    say_notes(plan.notes)
    if output == "-":
        typer.echo(text, nl=False)
        return
    if not directory.is_dir():
        raise InputError(f"{output}: its folder does not exist", f"create it: mkdir -p {Path(output).parent}")
    check_ours(path)
    if plan.secrets:
        write_secrets(directory, plan.secrets)
    write_atomically(path, text, mode=0o644)
    typer.echo(
        f"wrote {output}: {len(plan.services)} services; `gymctl up` builds their images and starts them", err=True
    )
