"""``gymctl env``: environments of your own."""

from __future__ import annotations

from pathlib import Path

import typer

commands = typer.Typer(name="env", help="Environments of your own.", no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.add_typer(commands)


@commands.callback()
def _group() -> None:
    pass


@commands.command()
def init(name: str = typer.Argument(..., help="Name of the new resources server, such as number_game.")) -> None:
    """Write a new resources server into this directory: code, configuration, rows, a test. It runs at once."""
    from gymctl.engines.scaffold import create_environment

    for path in create_environment(name, Path.cwd()):
        typer.echo(path.relative_to(Path.cwd()))
    typer.echo(
        "\nTry it, in one process:\n"
        "  gymctl up --engine local responses_api_models/scripted_model/configs/scripted_model.yaml "
        f"resources_servers/{name}/configs/{name}.yaml\n"
        f"  gymctl collect --input resources_servers/{name}/data/example.jsonl --output rollouts.jsonl "
        f"--agent {name}_simple_agent\n"
        "  gymctl down"
    )
