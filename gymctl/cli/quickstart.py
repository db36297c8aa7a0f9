"""``gymctl quickstart``: ten rollouts of two bundled environments in this process."""

from __future__ import annotations

from pathlib import Path

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
        typer.echo(
            "\nThe policy was a script, not a language model, so some rewards are 0. Next:\n"
            f"  look at a rollout      head -1 {output}/rollouts.jsonl | python3 -m json.tool | less\n"
            f"  in containers          gymctl up {_shown(example)} && gymctl status\n"
            f"  see the Compose file   gymctl render {_shown(example)}\n"
            "  your own model         gymctl up examples/multi-environment (set policy_* in env.yaml)"
        )
    raise typer.Exit(report.exit_code)


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
