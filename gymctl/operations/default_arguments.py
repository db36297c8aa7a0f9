"""What ``up`` and ``plan`` take when they are given no configuration."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from gymctl.config import upstream
from gymctl.config.secrets import MASK
from gymctl.config.sources.layers import name_a_configuration
from gymctl.engines.stack_directory import STACK_FILE, nearest, stack_directory
from gymctl.engines.state import StackState, find_state
from gymctl.errors import InputError


@dataclass(frozen=True)
class TypedOptions:
    """The options of an ``up`` that a later one repeats when it is given no configuration."""

    of_file: tuple[str, ...] = ()
    """Those that the rendered file depends on; its first lines name them."""
    of_engine: tuple[str, ...] = ()
    """The others, each as ``--name=value``."""


@dataclass(frozen=True)
class DefaultArguments:
    """A command line, and the directory in which it means what it meant."""

    arguments: tuple[str, ...]
    directory: Path

    @property
    def note(self) -> str:
        """What is used, for whoever did not type it."""
        text = f"no configuration was given; using: {shlex.join(self.arguments)}"
        if self.directory != Path.cwd():
            text += f" (in {self.directory})"
        return text


def default_arguments(arguments: Sequence[str], options: Collection[str]) -> DefaultArguments | None:
    """The arguments of the stack of this directory, or of one above it; else a ``stack.yaml`` found there.

    None where there is neither, and if ``arguments`` or ``env.yaml`` name a configuration.

    Args:
        arguments: those that were typed.
        options: names of the options that the command has; others are left out.

    Raises:
        InputError: the stack was given a secret on its command line, which is not kept.
    """
    if name_a_configuration(arguments, Path.cwd(), os.environ):
        return None
    directory = stack_directory()
    state = find_state(directory)
    if state is not None and state.arguments:
        return DefaultArguments(_repeatable(state, options), directory)
    folder = nearest(Path.cwd(), STACK_FILE)
    if folder is None:
        return None
    return DefaultArguments((STACK_FILE,), folder)


def kept_version() -> str | None:
    """The release of NeMo Gym that the stack of this directory keeps; None if it is the default, or without a stack.

    A new default must not change how the files of an existing stack are merged, or what its servers run on.
    """
    state = find_state(Path.cwd())
    if state is None:
        return None
    version = state.gym_version or upstream.FORMER_DEFAULT.version
    if version == upstream.DEFAULT.version:
        return None
    return version


def _repeatable(state: StackState, options: Collection[str]) -> tuple[str, ...]:
    """The arguments that started a stack, as far as they can be used again."""
    hidden = [argument for argument in state.arguments if MASK in argument]
    if hidden:
        raise InputError(
            f"the stack {state.name} was started with {hidden[0]}, whose value is not stored",
            "name the configuration and the value again, or put the value into env.yaml",
        )
    known = [option for option in state.engine_options if option.partition("=")[0] in options]
    return (*state.arguments, *known)
