"""What every command that takes CONFIG and OVERRIDE shares: loading them, naming the stack, planning it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gymctl.config.vocabulary import EVERY_INTERFACE, LOOPBACK

if TYPE_CHECKING:
    from gymctl.config import Config, Role
    from gymctl.stack import SliceMode, StackPlan

Configuration = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CONFIG|OVERRIDE",
        help="YAML files, globs, or a directory with a stack in it; overrides (+a.b=c); +config_paths=[a.yaml,b.yaml].",
        show_default=False,
    ),
]
MergeOrderOption = Annotated[
    str | None,
    typer.Option(
        "--merge-order",
        help="Whether an included file wins over its includer (includes-last, as NeMo Gym 0.2 to 0.5) or not "
        "(includes-first, as its main branch).",
        show_default="gymctl.merge_order of the configuration, else includes-last",
    ),
]
StackName = Annotated[
    str | None, typer.Option("--name", help="Name of the stack.", show_default="the directory's name")
]
SliceOption = Annotated[
    str, typer.Option("--slice", help="What a container is told: what it can reach (closure), or all (full).")
]
Publish = Annotated[
    str | None,
    typer.Option(
        "--publish", help="Address to publish the head's port on.", show_default="127.0.0.1; Swarm: not published"
    ),
]
BaseImage = Annotated[
    str | None,
    typer.Option(
        "--base-image", envvar="GYMCTL_BASE_IMAGE", help="Image to build on.", show_default="python:3.12-slim"
    ),
]
GymRoot = Annotated[
    Path | None,
    typer.Option("--gym-root", help="A NeMo Gym checkout: its configurations are found, its servers run as they are."),
]
GymVersion = Annotated[
    str | None,
    typer.Option("--gym-version", help="Version of nemo-gym for servers of NeMo Gym, from PyPI.", show_default="0.4.0"),
]
CaBundle = Annotated[
    Path | None,
    typer.Option("--ca-bundle", help="Certificates that builds are to trust.", show_default="the machine's own"),
]

_VERSION = re.compile(r"\d+(?:\.\d+)*(?:\.?(?:a|b|rc|post|dev)\d+)*")
# parameters of ``render`` and ``up`` that a rendered file depends on
_OPTIONS_OF_A_FILE = frozenset(
    "name merge_order slices gym_root gym_version nofile publish role advertise node token_file".split()
)


def check_local_options(context: typer.Context, names: tuple[str, ...]) -> None:
    """See that no option that is about images or containers was typed for ``--engine local``, which has none.

    ``names`` are those of the command's parameters. The same set by an environment variable is for other engines.

    Raises:
        InputError: one was.
    """
    from gymctl.errors import InputError

    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            message = f"{parameter.opts[0]} is for containers, and --engine local starts none"
            raise InputError(message, "leave it out, or take another engine")


def load(
    arguments: list[str] | None,
    merge_order: str | None = None,
    *,
    quiet: bool = False,
    gym_root: Path | None = None,
    role: Role | None = None,
) -> Config:
    """The configuration that the arguments name; its notes go to standard error unless ``quiet``.

    Raises:
        InputError: as ``load_config``, or there is no such merge order or ``gym_root``.
    """
    from gymctl.config import MergeOrder, Role, load_config
    from gymctl.errors import InputError

    if merge_order is not None and merge_order not in list(MergeOrder):
        raise InputError(f"--merge-order is {merge_order!r}", f"it must be {' or '.join(MergeOrder)}")
    if gym_root is not None and not (gym_root / "responses_api_models").is_dir():
        raise InputError(f"--gym-root {gym_root} has no responses_api_models/", "name the top of a NeMo Gym checkout")
    order = MergeOrder(merge_order) if merge_order else None
    config = load_config(
        arguments or [],
        cwd=Path.cwd(),
        environ=os.environ,
        merge_order=order,
        gym_root=gym_root,
        role=role or Role.ALL,
    )
    if not quiet:
        say_notes(config.notes)
    return config


def say_notes(notes: tuple[str, ...]) -> None:
    """Lines the user should read once, on standard error."""
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def stack_name(given: str | None, directory: Path) -> str:
    """The name given, or one made of the directory's as Compose does: lower-case letters, digits, ``-`` and ``_``.

    Raises:
        InputError: the one given is no stack's.
    """
    from gymctl.errors import InputError
    from gymctl.stack.plan_checks import stack_name_problems

    for problem in stack_name_problems(given) if given is not None else ():
        raise InputError(problem.message, problem.hint)
    if given is not None:
        return given
    return re.sub(r"[^a-z0-9_-]", "", directory.resolve().name.lower()).lstrip("_-") or "gym"


def plan_for(
    config: Config,
    name: str,
    *,
    nofile: int,
    slices: str,
    gym_root: Path | None = None,
    gym_version: str | None = None,
    publish: str | None = None,
) -> StackPlan:
    """The plan of a configuration's stack.

    Raises:
        InputError: an option is wrong.
        ConfigError: the configuration cannot be a stack of containers.
    """
    from gymctl import __version__
    from gymctl.errors import InputError
    from gymctl.stack import StackOptions, plan_stack

    if slices not in ("closure", "full"):
        raise InputError(f"--slice is {slices!r}", "it must be closure or full")
    if gym_version is not None and not _VERSION.fullmatch(gym_version):
        raise InputError(f"--gym-version {gym_version!r} is no version", "give one of nemo-gym on PyPI, such as 0.4.0")
    if publish is not None and not _is_address(publish):
        raise InputError(f"--publish {publish!r} is no address", "give an IPv4 address of this machine, or 0.0.0.0")
    mode: SliceMode = "full" if slices == "full" else "closure"
    options = StackOptions(
        version=__version__,
        nofile=nofile,
        slice_mode=mode,
        gym_root=gym_root,
        gym_version=gym_version,
        publish_host=publish or LOOPBACK,
    )
    return plan_stack(config, name=name, options=options)


def check_swarm_publish(publish: str | None) -> None:
    """See that Swarm can publish on that address.

    Raises:
        InputError: it is one address, and Swarm knows only all of them.
    """
    from gymctl.errors import InputError

    if publish not in (None, EVERY_INTERFACE):
        hint = "--publish 0.0.0.0 opens the head on every interface of its node; without it nothing is published"
        raise InputError(f"--publish {publish}: Swarm cannot publish on one address", hint)


def _is_address(text: str) -> bool:
    from ipaddress import AddressValueError, IPv4Address

    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def shown_arguments(arguments: list[str] | None, config: Config) -> tuple[str, ...]:
    """The arguments as they may be written down: an override that sets a secret shows ``****`` for it."""
    from gymctl.config import holds_credential, mask

    shown = []
    for argument in arguments or []:
        key, equals, _ = argument.partition("=")
        credential = equals and holds_credential(key.rpartition(".")[2].lstrip("+"))
        shown.append(f"{key}=****" if credential else mask(argument, config.secrets))
    return tuple(shown)


def shown_options(context: typer.Context) -> tuple[str, ...]:
    """The options of ``render`` that were typed, for the command that renders a file again."""
    shown: list[str] = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in _OPTIONS_OF_A_FILE and source is not None and source.name == "COMMANDLINE":
            shown += [parameter.opts[0], str(context.params[parameter.name])]
    return tuple(shown)


def config_digest(config: Config) -> str:
    """A short digest that tells one configuration from another; secrets have no part in it."""
    from gymctl.config import mask

    masked = mask(config.resolved, config.secrets)
    return hashlib.sha256(json.dumps(masked, sort_keys=True, default=str).encode()).hexdigest()[:16]
