"""``gymctl env``: environments of your own."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from gymctl.cli import completion
from gymctl.cli.help import CONFIGURE, command_group
from gymctl.cli.options import BaseImage, CaBundle, check_container_options
from gymctl.config.choices import TestEngine

commands = command_group("env", "Create and test your own environments.")


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.add_typer(commands, rich_help_panel=CONFIGURE)


@commands.command()
def init(
    name: str = typer.Argument(..., metavar="NAME", help="Name of the new resources server, such as number_game."),
) -> None:
    """Create a resources server in this directory: code, configuration, rows and a test. Ready to run."""
    from gymctl.environments.scaffold import create_environment

    for path in create_environment(name, Path.cwd()):
        typer.echo(path.relative_to(Path.cwd()))
    typer.echo(
        "\nTry it in one process:\n"
        "  gymctl up --engine local responses_api_models/scripted_model/configs/scripted_model.yaml "
        f"resources_servers/{name}/configs/{name}.yaml\n"
        f"  gymctl collect --input resources_servers/{name}/data/example.jsonl --output rollouts.jsonl "
        f"--agent {name}_simple_agent\n"
        "  gymctl down\n"
        "Run its tests in its image (or in this Python with --engine local):\n"
        f"  gymctl env test {name}"
    )


@commands.command()
def test(
    context: typer.Context,
    name: str = typer.Argument(
        ...,
        metavar="NAME",
        help="Server to test, your own or a bundled one: its name, kind/name, or directory.",
        autocompletion=completion.environments,
    ),
    arguments: list[str] = typer.Argument(
        None, metavar="-- PYTEST-OPTION", help="Options for pytest, such as: -- -k reward -x.", show_default=False
    ),
    engine: TestEngine = typer.Option(
        TestEngine.COMPOSE, "--engine", help="Run in the server's image, or in this Python (no Docker)."
    ),
    base_image: BaseImage = None,
    ca_bundle: CaBundle = None,
) -> None:
    """Run a server's own tests in its image. The exit code is pytest's: 0 all passed, 1 some failed."""
    from gymctl.cli.display import UpDisplay
    from gymctl.environments.tests import build_image, find_tests, replace_with_tests, run_in_image

    check_container_options(context, engine)
    tests = find_tests(name, Path.cwd())
    if sys.stdout.isatty():
        coloured = ["--color=yes"]
    else:
        coloured = []
    options = [*coloured, *(arguments or [])]
    if engine is TestEngine.LOCAL:
        replace_with_tests(tests, options)
    with UpDisplay() as display:
        image = build_image(tests, base_image=base_image, ca_bundle=ca_bundle, on_build=display.on_event)
    raise typer.Exit(run_in_image(tests, image, options, typer.echo))
