"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gymctl.cli import completion
from gymctl.cli.colours import label
from gymctl.config import upstream
from gymctl.config.choices import EngineKind, MergeOrder, SliceMode
from gymctl.config.vocabulary import HEAD_TOKEN, Role

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from gymctl.config import Config
    from gymctl.operations.configuration import PlanOptions
    from gymctl.operations.default_arguments import TypedOptions
    from gymctl.operations.membership import MembershipOptions
    from gymctl.operations.stack_start import ImageOptions

Configuration = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CONFIG|OVERRIDE",
        help="YAML files, globs, or a directory with a stack in it; overrides (+a.b=c); +config_paths=[a.yaml,b.yaml].",
        show_default=False,
    ),
]
MergeOrderOption = Annotated[
    MergeOrder | None,
    typer.Option(
        "--merge-order",
        help="Precedence: an included file overrides its includer (includes-last, NeMo Gym 0.2 to 0.5) or not "
        "(includes-first, NeMo Gym 0.6 and later).",
        show_default="gymctl.merge_order of the configuration, else as in the NeMo Gym release in use",
    ),
]
StackName = Annotated[
    str | None,
    typer.Option(
        "--name", help="Name of the stack.", show_default="the directory's name", autocompletion=completion.stack_names
    ),
]
SliceOption = Annotated[
    SliceMode,
    typer.Option(
        "--slice",
        help="Configuration given to each container: only what it can reach through references (closure) or "
        "everything (full).",
    ),
]
Publish = Annotated[
    str | None,
    typer.Option(
        "--publish",
        help="Address to publish the head and exposed servers on.",
        show_default="127.0.0.1; Swarm: not published",
    ),
]
Expose = Annotated[
    str | None,
    typer.Option(
        "--expose",
        metavar="agents|servers|NAME,...",
        help="Publish servers, each on its own port, for clients outside the stack, such as a trainer.",
        show_default=False,
    ),
]
ExposeTo = Annotated[
    str | None,
    typer.Option(
        "--expose-to",
        metavar="CIDR,...",
        help="Networks of the clients that exposed servers accept; required unless --publish is a loopback address.",
        show_default=False,
    ),
]
BaseImage = Annotated[
    str | None,
    typer.Option(
        "--base-image",
        envvar="GYMCTL_BASE_IMAGE",
        help="Image to build on. For NeMo Gym's servers, the default is the Python of their release.",
        show_default="python:3.12-slim",
    ),
]
GymRoot = Annotated[
    Path | None,
    typer.Option("--gym-root", help="NeMo Gym checkout or installed package to search for configurations and servers."),
]
GymVersion = Annotated[
    str | None,
    typer.Option(
        "--gym-version",
        help="Release of NeMo Gym (on PyPI) whose servers and merge order are used.",
        show_default=f"the release of --gym-root, else {upstream.DEFAULT.version}",
    ),
]
CaBundle = Annotated[
    Path | None,
    typer.Option(
        "--ca-bundle",
        help="CA bundle that image builds and servers trust.",
        show_default="$SSL_CERT_FILE, $PIP_CERT, $REQUESTS_CA_BUNDLE, or the machine's own",
    ),
]
Registry = Annotated[
    str | None,
    typer.Option(
        "--registry", help="(swarm) Push the images to HOST/PREFIX and deploy them by digest.", show_default=False
    ),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        help="(swarm) Copy the images to this Docker host, e.g. ssh://USER@NODE or tcp://NODE:2376; may be repeated.",
        show_default=False,
    ),
]
RoleOption = Annotated[
    Role,
    typer.Option(
        "--role", help="Role of this machine in a stack on several machines; all: the stack is on this machine only."
    ),
]
Advertise = Annotated[
    str | None,
    typer.Option("--advertise", help="Address that other machines use for servers without a `host`."),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help="File with the head's token.",
        show_default=f"head_server.token, ${HEAD_TOKEN}, .gymctl/head-token",
    ),
]
NodeName = Annotated[
    str | None, typer.Option("--node", help="Name of this machine in the head's list.", show_default="the host name")
]


def _set_verbosity(value: bool) -> bool:
    """Log from DEBUG on, which has the commands that are run."""
    if value:
        import logging

        from gymctl.cli.logging_setup import log_to_terminal

        log_to_terminal(logging.DEBUG)
    return value


Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Print to standard error the commands that gymctl runs.", callback=_set_verbosity
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# parameters of ``render`` and ``up`` that a rendered file depends on
_OPTIONS_OF_A_FILE = frozenset(
    "name merge_order slices gym_root gym_version nofile publish expose expose_to role advertise node "
    "token_file".split()
)
# and those of ``up`` that say how its images are made and what runs them
_OPTIONS_OF_AN_ENGINE = frozenset("engine base_image ca_bundle registry host".split())
_OPTIONS_OF_CONTAINERS = frozenset("slices base_image ca_bundle".split())


def load_configuration(
    arguments: list[str] | None,
    merge_order: MergeOrder | None = None,
    *,
    gym_root: Path | None = None,
    gym_version: str | None = None,
    role: Role = Role.ALL,
    quiet: bool = False,
) -> Config:
    """The configuration that the arguments name; its notes go to standard error unless ``quiet``.

    Raises:
        InputError: as ``operations.configuration.load``.
    """
    from gymctl.operations.configuration import load

    config = load(*arguments or (), merge_order=merge_order, gym_root=gym_root, gym_version=gym_version, role=role)
    if not quiet:
        print_notes(config.notes)
    return config


def membership_options(
    role: Role, advertise: str | None, node: str | None, token_file: Path | None
) -> MembershipOptions:
    """This machine's part in a stack on several, from four options."""
    from gymctl.operations.membership import MembershipOptions

    return MembershipOptions(role=role, advertise=advertise, node=node, token_file=token_file)


def plan_options(
    name: str | None,
    slices: SliceMode,
    gym_version: str | None,
    publish: str | None,
    *,
    expose: str | None,
    expose_to: str | None,
) -> PlanOptions:
    """Choices about a stack's plan, from six options."""
    from gymctl.config.exposure import split_names
    from gymctl.operations.configuration import PlanOptions

    return PlanOptions(
        name=name,
        slice_mode=slices,
        gym_version=gym_version,
        publish=publish,
        expose=split_names(expose),
        expose_to=split_names(expose_to),
    )


def image_options(
    base_image: str | None, ca_bundle: Path | None, registry: str | None = None, hosts: list[str] | None = None
) -> ImageOptions:
    """How images are built and sent, from four options."""
    from gymctl.operations.stack_start import ImageOptions

    return ImageOptions(base_image=base_image, ca_bundle=ca_bundle, registry=registry or "", hosts=tuple(hosts or ()))


def print_notes(notes: Iterable[str]) -> None:
    """Print sentences that the user should read once, on standard error."""
    for note in notes:
        typer.echo(f"{label('note:', 'yellow')} {note}", err=True)


def check_container_options(context: typer.Context, engine: str) -> None:
    """Check that no option about images or containers was typed for the local engine, which has none.

    The same option in an environment variable is for other engines, and is not refused.

    Raises:
        InputError: one was.
    """
    from gymctl.errors import InputError

    if engine != EngineKind.LOCAL:
        return
    for option, _ in _typed(context, _OPTIONS_OF_CONTAINERS):
        message = f"{option} is for containers, and --engine local does not start any"
        raise InputError(message, "remove it, or use another engine")


def typed_options(context: typer.Context) -> tuple[str, ...]:
    """The options that were typed and that a rendered file depends on, for the command that renders it again."""
    return tuple(part for option, value in _typed(context, _OPTIONS_OF_A_FILE) for part in (option, str(value)))


def repeatable_options(context: typer.Context) -> TypedOptions:
    """The options that were typed and that a later ``up`` without a configuration repeats."""
    from gymctl.operations.default_arguments import TypedOptions

    typed: list[str] = []
    for option, value in _typed(context, _OPTIONS_OF_AN_ENGINE):
        values = value if isinstance(value, list) else [value]
        typed += [f"{option}={item}" for item in values]
    return TypedOptions(typed_options(context), tuple(typed))


def _typed(context: typer.Context, names: Collection[str]) -> Iterator[tuple[str, Any]]:
    """The options among ``names`` that were typed, not taken from an environment variable, and their values."""
    for parameter in context.command.params:
        name = parameter.name
        if name is None or name not in names:
            continue
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            yield parameter.opts[0], context.params[name]
