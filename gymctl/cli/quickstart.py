"""``gymctl quickstart``: ten rollouts of two bundled environments in this process."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(quickstart)


def quickstart(
    output: Path = typer.Option(
        Path("gymctl-quickstart"), "--output", "-o", help="Folder for the results; made when it is not there."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON."),
) -> None:
    """Run ten rollouts in this process: no Docker, no GPU, no key.

    They are of two bundled environments; a script plays the policy.
    """
    from gymctl import assets
    from gymctl.cli.collecting import collect_in_process, print_report
    from gymctl.config import load_config
    from gymctl.errors import InputError
    from gymctl.rollouts.progress import display
    from gymctl.rollouts.spec import RunSpec

    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output} cannot be made: {error.strerror}", "choose another with --output") from error
    example = assets.folder("examples") / "quickstart"
    config = load_config([str(example)], cwd=example, environ={})
    spec = RunSpec(
        input=example / "rows.jsonl", output=output / "rollouts.jsonl", agents=tuple(config.agent_names), force=True
    )
    with display(quiet=as_json) as on_event:
        report = collect_in_process(config, spec, on_event)
    print_report(report, as_json=as_json)
    if not as_json:
        us, ours, other = _program(), _shown(example), _shown(example.parent / "multi-environment")
        typer.echo(
            "\nThe policy was a script, not a language model, so some rewards are 0. Next:\n"
            f"  look at a rollout      head -1 {output}/rollouts.jsonl | python3 -m json.tool | less\n"
            f"  in containers          {us} up {ours} && {us} status\n"
            f"  see the Compose file   {us} render {ours}\n"
            f"  your own model         {us} up {other} (set policy_* in env.yaml)"
        )
    raise typer.Exit(report.exit_code)


def _program() -> str:
    """How this program was called, so that the next steps can be pasted."""
    return "gymctl" if which("gymctl") else sys.argv[0]


def _shown(example: Path) -> str:
    """A bundled example's path, in a checkout the short one."""
    here = Path("examples") / example.name
    if here.is_dir():
        return str(here)
    try:
        return str(example.relative_to(Path.cwd()))
    except ValueError:
        return str(example)
