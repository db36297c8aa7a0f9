"""``gymctl export-config``: a configuration for a trainer that starts the servers itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gymctl.cli.help import DATA
from gymctl.cli.options import Configuration, GymRoot, MergeOrderOption, load_configuration, print_notes
from gymctl.config.choices import Trainer

TrainerOption = Annotated[Trainer, typer.Option("--to", help="Trainer that reads the configuration.")]
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy", help="Model server that the trainer replaces.", show_default="policy_model, or the only one"
    ),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="File to write.", show_default="standard output")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export-config", rich_help_panel=DATA)(export_config)


def export_config(
    configuration: Configuration = None,
    trainer: TrainerOption = Trainer.NEMO_RL,
    policy: Policy = None,
    output: Output = None,
    merge_order: MergeOrderOption = None,
    gym_root: GymRoot = None,
) -> None:
    """Write the part of a trainer's configuration that starts the same servers.

    For NeMo RL this is `env.nemo_gym`. The trainer provides the policy; secrets are replaced by references to
    environment variables.

    \b
    Example:
      gymctl export-config examples/quickstart --to nemo-rl -o nemo_gym.yaml
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.operations.trainer_config import nemo_rl_config, write_config

    assert trainer is Trainer.NEMO_RL  # noqa: S101 - the only one
    config = load_configuration(configuration, merge_order, gym_root=gym_root)
    exported = nemo_rl_config(config, policy)
    print_notes(exported.notes)
    if output is None:
        typer.echo(exported.text, nl=False)
        return
    write_config(exported, output)
    typer.echo(f"wrote {output}", err=True)
