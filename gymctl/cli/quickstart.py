"""``gymctl quickstart``: ten rollouts of two bundled environments in this process."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which

import typer

from gymctl.cli.help import RUN


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=RUN)(quickstart)


def quickstart(
    output: Path = typer.Option(
        Path("gymctl-quickstart"), "--output", "-o", help="Output directory (created if missing)."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON."),
) -> None:
    """Run ten rollouts in this process: no Docker, no GPU, no API key.

    The rollouts use two bundled environments, with a scripted policy in place of a model.
    """
    from gymctl.cli.output import print_report
    from gymctl.operations.quickstart import example_folder
    from gymctl.operations.quickstart import quickstart as run
    from gymctl.rollouts.progress import display

    with display(quiet=as_json) as on_event:
        report = run(output, on_event)
    print_report(report, as_json=as_json)
    if not as_json:
        program = _program()
        example = _displayed(example_folder())
        other = _displayed(example_folder().parent / "multi-environment")
        typer.echo(
            "\nThe policy was a script, not a language model, so some rewards are 0. Next:\n"
            f"  look at a rollout      head -1 {output}/rollouts.jsonl | python3 -m json.tool | less\n"
            f"  in containers          {program} up {example} && {program} status\n"
            f"  see the Compose file   {program} render {example}\n"
            f"  your own model         {program} up {other} (set policy_* in env.yaml)"
        )
    raise typer.Exit(report.exit_code)


def _program() -> str:
    """How this program was called, so that the next steps can be pasted."""
    if which("gymctl"):
        return "gymctl"
    return sys.argv[0]


def _displayed(example: Path) -> str:
    """A bundled example's path, in a checkout the short one."""
    here = Path("examples") / example.name
    if here.is_dir():
        return str(here)
    try:
        return str(example.relative_to(Path.cwd()))
    except ValueError:
        return str(example)
