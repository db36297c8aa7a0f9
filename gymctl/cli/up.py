"""``gymctl up``: from a configuration to a running, healthy stack."""

from __future__ import annotations

from typing import Annotated

import typer

from gymctl.cli.default_arguments import WithDefaultArguments
from gymctl.cli.help import RUN
from gymctl.cli.options import (
    Advertise,
    AsJson,
    BaseImage,
    CaBundle,
    Configuration,
    Expose,
    ExposeTo,
    GymRoot,
    GymVersion,
    Hosts,
    MergeOrderOption,
    NodeName,
    Publish,
    Registry,
    RoleOption,
    SliceOption,
    StackName,
    TokenFile,
    Verbose,
    check_container_options,
    image_options,
    load_configuration,
    membership_options,
    plan_options,
    repeatable_options,
)
from gymctl.config.choices import EngineKind, SliceMode
from gymctl.config.vocabulary import Role

Engine = Annotated[
    EngineKind,
    typer.Option("--engine", help="Containers on this machine, on the nodes of a Swarm, or one process (no Docker)."),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        help="Seconds to wait until every server is healthy.",
        min=1,
        show_default="180; longer if a model is downloaded and loaded",
    ),
]
Drain = Annotated[
    float | None,
    typer.Option(
        "--drain",
        help="Seconds that old containers may take to finish their requests and sessions in an update.",
        min=0,
        show_default="600",
    ),
]
Probe = Annotated[
    bool,
    typer.Option("--probe/--no-probe", help="Test every model endpoint once and report those that do not answer."),
]
WhileCollecting = Annotated[
    bool,
    typer.Option(
        "--while-collecting",
        help="Allow changes during a collection; its later results come from the new stack.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=WithDefaultArguments, rich_help_panel=RUN)(up)


def up(
    context: typer.Context,
    configuration: Configuration = None,
    engine: Engine = EngineKind.COMPOSE,
    name: StackName = None,
    timeout: Timeout = None,
    drain: Drain = None,
    slices: SliceOption = SliceMode.CLOSURE,
    merge_order: MergeOrderOption = None,
    base_image: BaseImage = None,
    ca_bundle: CaBundle = None,
    gym_root: GymRoot = None,
    gym_version: GymVersion = None,
    registry: Registry = None,
    host: Hosts = None,
    role: RoleOption = Role.ALL,
    publish: Publish = None,
    expose: Expose = None,
    expose_to: ExposeTo = None,
    advertise: Advertise = None,
    node: NodeName = None,
    token_file: TokenFile = None,
    probe: Probe = True,
    while_collecting: WhileCollecting = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Start a stack in this directory and wait until it is healthy.

    Without a configuration, reuse the arguments of this directory's stack, or use stack.yaml.

    \b
    Examples:
      gymctl up examples/quickstart
      gymctl up --engine local model.yaml agent.yaml +policy_model_name=mine
      gymctl up --engine swarm --host ssh://me@worker-1 examples/multi-environment
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.cli import display, output
    from gymctl.operations import membership
    from gymctl.operations import up as operation

    images = image_options(base_image, ca_bundle, registry, host)
    operation.check_engine_options(engine, role, publish, images)
    check_container_options(context, engine)
    config = load_configuration(configuration, merge_order, gym_root=gym_root, gym_version=gym_version, role=role)
    config = membership.with_membership(config, membership_options(role, advertise, node, token_file))
    with output.interrupt_message(), display.UpDisplay() as lines:
        state = operation.up(
            config,
            plan_options(name, slices, gym_version, publish, expose=expose, expose_to=expose_to),
            engine=engine,
            images=images,
            timeout=timeout,
            drain=drain,
            probe=probe,
            while_collecting=while_collecting,
            typed=repeatable_options(context),
            on_event=lines.on_event,
        )
    output.print_up(config, state, as_json=as_json)
