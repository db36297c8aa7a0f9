"""``gymctl config``: look at a configuration without starting anything."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gymctl.cli import completion
from gymctl.cli.help import CONFIGURE, command_group
from gymctl.cli.options import AsJson, Configuration, GymRoot, MergeOrderOption, load_configuration, print_notes
from gymctl.config.choices import ConfigFormat, GraphFormat
from gymctl.config.wording import counted

commands = command_group("config", "Inspect a configuration: show, check, explain. Nothing is started.")


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.add_typer(commands, rich_help_panel=CONFIGURE)


@commands.command()
def show(
    configuration: Configuration = None,
    form: ConfigFormat = typer.Option(ConfigFormat.YAML, "--format", help="Output format."),
    merge_order: MergeOrderOption = None,
    gym_root: GymRoot = None,
) -> None:
    """Print the resolved configuration with credentials masked."""
    from gymctl.config import formatting

    typer.echo(formatting.show(load_configuration(configuration, merge_order, gym_root=gym_root), form), nl=False)


@commands.command()
def check(
    configuration: Configuration = None,
    merge_order: MergeOrderOption = None,
    gym_root: GymRoot = None,
    as_json: AsJson = False,
) -> None:
    """Report every problem with file and line. Exits with 2 if there are any."""
    from gymctl.errors import ConfigError, InputError
    from gymctl.operations.configuration import check as check_stack

    if not as_json:
        config = load_configuration(configuration, merge_order, gym_root=gym_root)
        check_stack(config)
        typer.echo(f"ok: {counted(len(config.servers), 'server')} from {counted(len(config.files), 'file')}")
        return
    try:
        config = load_configuration(configuration, merge_order, gym_root=gym_root, quiet=True)
        check_stack(config)
    except InputError as error:
        if isinstance(error, ConfigError):
            problems = error.problems
        else:
            problems = ()
        listed = [{"where": item.where, "message": item.message, "hint": item.hint} for item in problems]
        listed = listed or [{"where": "", "message": error.message, "hint": error.hint}]
        _print({"ok": False, "problems": listed, "notes": []})
        raise typer.Exit(error.exit_code) from None
    notes = [
        {"code": str(note.code), "where": note.where, "message": note.message, "hint": note.hint}
        for note in config.advice
    ]
    _print({"ok": True, "problems": [], "notes": notes, "servers": list(config.servers), "files": list(config.files)})


@commands.command()
def explain(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="Dotted path, such as policy_model.openai_base_url.",
            autocompletion=completion.config_paths,
        ),
    ],
    configuration: Configuration = None,
    merge_order: MergeOrderOption = None,
    gym_root: GymRoot = None,
    as_json: AsJson = False,
) -> None:
    """Show which file and line set a value, what it overrode, and what it refers to."""
    from gymctl.config import formatting
    from gymctl.config.explain import explain as explain_value
    from gymctl.operations.configuration import read

    loaded = read(*configuration or (), merge_order=merge_order, gym_root=gym_root)
    if loaded.problems:
        problems = counted(len(loaded.problems), "problem")
        print_notes((f"the configuration has {problems}; list them with gymctl config check",))
    explanation = explain_value(loaded.config, path)
    if as_json:
        _print(formatting.explanation_json(explanation))
    else:
        typer.echo(formatting.explanation_text(explanation), nl=False)


@commands.command()
def schema() -> None:
    """Print the JSON Schema of configuration files, for editors."""
    from gymctl.config.blocks.schema import schema as build

    _print(build())


@commands.command()
def graph(
    configuration: Configuration = None,
    form: GraphFormat = typer.Option(GraphFormat.TEXT, "--format", help="Output format."),
    merge_order: MergeOrderOption = None,
    gym_root: GymRoot = None,
) -> None:
    """Print the references between servers."""
    from gymctl.config import formatting

    config = load_configuration(configuration, merge_order, gym_root=gym_root, quiet=True)
    if form is GraphFormat.JSON:
        _print(formatting.graph_json(config))
    elif form is GraphFormat.MERMAID:
        typer.echo(formatting.graph_mermaid(config), nl=False)
    else:
        typer.echo(formatting.graph_text(config), nl=False)


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
