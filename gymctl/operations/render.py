"""Render the Compose or Swarm file of a configuration, and write it with the files that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config import Config, Role, Target
from gymctl.errors import InputError
from gymctl.operations.configuration import PlanOptions, check_swarm_publish, display_arguments, plan
from gymctl.operations.exposure import check_exposed_engine
from gymctl.operations.membership import check_swarm_role, published_head
from gymctl.operations.monitoring import stack_monitoring
from gymctl.stack import StackPlan, one_machine_notes, render_stack

if TYPE_CHECKING:
    from gymctl.stack.swarm import KeyChange


@dataclass(frozen=True)
class Rendering:
    """A rendered file and what belongs to it."""

    text: str
    """The file's content."""
    services: tuple[str, ...]
    """Names of the services in it."""
    notes: tuple[str, ...]
    """Sentences that the user should read once."""
    changes: tuple[KeyChange, ...] = ()
    """What the translation for Swarm changed."""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Files to write next to it: path relative to it, content."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment name and value of each secret that a container reads from a file."""
    next_step: str = "`gymctl up` builds their images and starts them"
    """What to do with the file, which is ``{output}`` there."""


def render(
    config: Config,
    options: PlanOptions | None = None,
    *,
    target: Target = Target.COMPOSE,
    directory: Path | None = None,
    typed_options: Sequence[str] = (),
) -> Rendering:
    """Render the file of a configuration's stack; nothing is written or started.

    Args:
        config: the configuration.
        options: choices about the plan.
        target: what the file is for.
        directory: where it will be written; it names the stack when the options do not.
        typed_options: options to put into the command, in the file's first lines, that renders it again.

    Raises:
        InputError: an option is wrong.
        ConfigError: the configuration cannot be such a stack.
    """
    options = options or PlanOptions()
    if target is Target.SLURM:
        from gymctl.operations.slurm_script import slurm_rendering

        return slurm_rendering(config, options, directory or Path.cwd())
    if options.cpu_nodes != 1:
        raise InputError("--cpu-nodes is for --target slurm", "remove it")
    check_target(target, config.membership.role if config.membership else Role.ALL, options.publish)
    check_exposed_engine(options.expose, is_swarm=target is Target.SWARM)
    publish = published_head(config, options.publish)
    options = replace(options, publish=publish, is_swarm=target is Target.SWARM)
    stack = plan(config, options, directory=directory)
    arguments = (*display_arguments(config), *typed_options)
    if target is Target.SWARM:
        return _swarm(stack, arguments, stack_monitoring(config, stack))
    return Rendering(
        text=render_stack(stack, arguments=arguments),
        services=tuple(service.name for service in stack.services),
        notes=(*stack.notes, *one_machine_notes(stack.services)),
        files=stack_monitoring(config, stack),
        secrets=stack.secrets,
    )


def check_target(target: Target, role: Role, publish: str | None) -> None:
    """Check that a rendered file can have these options, before anything is loaded.

    Raises:
        InputError: it cannot.
    """
    if target is Target.SWARM:
        check_swarm_publish(publish)
        check_swarm_role(role)


def write_rendering(rendering: Rendering, path: Path, config: Config) -> None:
    """Write a rendered file, and next to it the secrets and files that it refers to.

    Raises:
        InputError: the folder does not exist, or the file was not written by gymctl.
        EngineError: the folder cannot be written.
    """
    from gymctl.engines.atomic_files import new_file_mode, write_atomically
    from gymctl.engines.own_folder import write_files
    from gymctl.engines.rendered_file import check_ours
    from gymctl.engines.secret_files import write_secrets
    from gymctl.operations.stack_files import store_stack_files

    directory = path.resolve().parent
    if not directory.is_dir():
        raise InputError(f"{path}: its directory does not exist", f"create it: mkdir -p {path.parent}")
    check_ours(path.resolve())
    if rendering.secrets:
        write_secrets(directory, rendering.secrets)
    store_stack_files(config, directory, rendering.secrets)
    write_files(directory, rendering.files)
    write_atomically(path.resolve(), rendering.text, mode=new_file_mode())


def _swarm(stack: StackPlan, arguments: Sequence[str], files: Mapping[str, bytes]) -> Rendering:
    from gymctl.stack.swarm import render_swarm

    translated = render_swarm(stack, arguments=arguments)
    return Rendering(
        text=translated.text,
        services=translated.services,
        notes=stack.notes,
        changes=translated.changes,
        files={**translated.files, **files},
        secrets=stack.secrets,
        next_step="`gymctl up --engine swarm` builds their images and starts them",
    )
