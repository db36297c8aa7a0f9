"""Render the Slurm batch script of a configuration's stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gymctl.config import Config
from gymctl.engines.local.ignored_settings import ignored_settings
from gymctl.errors import ConfigError, InputError
from gymctl.operations.configuration import PlanOptions, display_arguments, stack_name
from gymctl.operations.edge import refuse_edge
from gymctl.operations.hop_tokens import refuse_tokens
from gymctl.operations.render import Rendering
from gymctl.stack.slurm.job import SlurmJob, render_slurm, slurm_problems


def slurm_rendering(config: Config, options: PlanOptions, directory: Path) -> Rendering:
    """The batch script of a configuration's stack.

    Raises:
        InputError: an option is not for Slurm, or an override holds a secret, which would be in the script.
        ConfigError: the configuration cannot be such a stack.
    """
    for option, is_set in (("--publish", options.publish is not None), ("--gym-version", options.gym_version)):
        if is_set:
            raise InputError(f"{option} is for containers, and a Slurm job does not start any", "remove it")
    refuse_edge(config, "in a Slurm job")
    refuse_tokens(config, "in a Slurm job")
    problems = [*slurm_problems(config, options.cpu_nodes)]
    if problems:
        raise ConfigError(problems)
    job = SlurmJob(
        name=stack_name(options.name, directory),
        arguments=_absolute_arguments(config),
        directory=str(config.source.directory.resolve()),
        options=tuple(_up_options(config, options)),
        cpu_nodes=options.cpu_nodes,
    )
    return Rendering(
        text=render_slurm(config, job),
        services=("head", *config.started),
        notes=tuple(ignored_settings(config)) if not config.vllm else (),
        next_step="submit it: sbatch {output}",
    )


def _up_options(config: Config, options: PlanOptions) -> Iterator[str]:
    """The options of ``gymctl up`` on each node that have the same effect as those of the rendering."""
    yield from ("--merge-order", config.merge_order.value)
    if config.source.gym_root is not None:
        yield from ("--gym-root", str(config.source.gym_root.resolve()))
    if options.expose:
        yield from ("--expose", ",".join(options.expose))
    if options.expose_to:
        yield from ("--expose-to", ",".join(options.expose_to))


def _absolute_arguments(config: Config) -> tuple[str, ...]:
    """The arguments of a configuration, with paths that are valid in any folder.

    Raises:
        InputError: an override holds a secret.
    """
    arguments = []
    for argument, displayed in zip(config.source.arguments, display_arguments(config), strict=True):
        if displayed != argument:
            key = argument.partition("=")[0]
            raise InputError(f"{key} holds a secret, which would be in the script", "put it into env.yaml")
        path = config.source.directory / argument
        arguments.append(str(path.resolve()) if path.exists() else argument)
    return tuple(arguments)
