"""``gymctl up``: from a configuration to a running, healthy stack."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gymctl.cli.loading import (
    BaseImage,
    CaBundle,
    Configuration,
    GymRoot,
    GymVersion,
    MergeOrderOption,
    Publish,
    SliceOption,
    StackName,
    check_local_options,
    check_swarm_publish,
    config_digest,
    load,
    plan_for,
    say_notes,
    shown_arguments,
    shown_options,
    stack_name,
)
from gymctl.cli.roles import (
    Advertise,
    NodeName,
    RoleOption,
    TokenFile,
    check_swarm_role,
    keep_token,
    published_head,
    role_of,
    with_membership,
)
from gymctl.cli.up_swarm import Hosts, Registry, up_swarm

if TYPE_CHECKING:
    from gymctl.cli.output import UpDisplay
    from gymctl.config import Config, Role
    from gymctl.engines.state import StackState
    from gymctl.stack import StackPlan

Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        help="Seconds to wait until every server is healthy.",
        min=1,
        show_default="180; longer where a model is fetched and loaded",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)


def up(
    context: typer.Context,
    configuration: Configuration = None,
    engine: str = typer.Option(
        "compose", "--engine", help="compose (containers), swarm (many machines) or local (one process, no Docker)."
    ),
    name: StackName = None,
    timeout: Timeout = None,
    slices: SliceOption = "closure",
    merge_order: MergeOrderOption = None,
    base_image: BaseImage = None,
    ca_bundle: CaBundle = None,
    gym_root: GymRoot = None,
    gym_version: GymVersion = None,
    registry: Registry = None,
    host: Hosts = None,
    role: RoleOption = None,
    publish: Publish = None,
    advertise: Advertise = None,
    node: NodeName = None,
    token_file: TokenFile = None,
) -> None:
    """Start a stack in this directory and wait until it is healthy.

    \b
    Examples:
      gymctl up examples/quickstart
      gymctl up --engine local model.yaml agent.yaml +policy_model_name=mine
      gymctl up "+config_paths=[model.yaml,agent.yaml]" +head_server.port=8000
      gymctl up --engine swarm --host ssh://me@worker-1 examples/multi-environment
      gymctl up coordinator.yaml --role coordinator
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.cli.output import say_next

    part = role_of(role)
    _check_options(engine, publish, registry, host, part)
    if engine == "local":
        check_local_options(context, ("slices", "base_image", "ca_bundle", "gym_version"))
    config = load(configuration, merge_order, gym_root=gym_root, role=part)
    config = with_membership(config, part, advertise=advertise, node=node, token_file=token_file)
    publish = published_head(config, part, publish)
    called, arguments = stack_name(name, Path.cwd()), tuple(configuration or ())
    plan = partial(plan_for, config, called, slices=slices, gym_root=gym_root, gym_version=gym_version, publish=publish)
    start: Callable[..., StackState] = partial(_up_local, config, called, arguments, timeout)
    typed = (*arguments, *shown_options(context))
    if engine == "compose":
        start = partial(_up_compose, plan, config, typed, timeout, base_image, ca_bundle)
    elif engine == "swarm":
        hosts = tuple(host or ())
        start = partial(up_swarm, plan, config, typed, timeout, base_image, ca_bundle, registry or "", hosts)
    say_next(_watched(start))


def _watched(start: Callable[..., StackState]) -> StackState:
    """Start a stack while its servers are shown; Ctrl-C says what there is to clean up, a failure what it has cost."""
    from gymctl.cli.output import UpDisplay
    from gymctl.engines.state import find_state
    from gymctl.errors import GymctlError

    before = find_state(Path.cwd())
    try:
        with UpDisplay() as display:
            return start(display=display)
    except KeyboardInterrupt:
        started = find_state(Path.cwd()) is not None
        typer.echo(f"interrupted; {'to clean up: gymctl down' if started else 'nothing was started'}", err=True)
        _say_stopped(before)
        raise
    except GymctlError:
        _say_stopped(before)
        raise


def _say_stopped(before: StackState | None) -> None:
    """Say that the stack that was up ``before`` had to make room for one that did not come up."""
    from gymctl.engines.state import find_state

    if before is not None and find_state(Path.cwd()) is None:
        say_notes((f"the stack {before.name}, which was up here before, is down now",))


def _check_options(engine: str, publish: str | None, registry: str | None, hosts: list[str] | None, role: Role) -> None:
    """See that the engine exists, and takes the options that were given."""
    from gymctl.errors import InputError

    if engine not in ("compose", "swarm", "local"):
        raise InputError(f"there is no engine {engine!r}", "use --engine compose, swarm or local")
    for option, given in (("--registry", registry), ("--host", hosts)):
        if given and engine != "swarm":
            raise InputError(f"{option} is for --engine swarm", "leave it out, or add --engine swarm")
    if engine == "swarm":
        check_swarm_role(role)
    if publish is not None and engine == "local":
        raise InputError("--publish is for containers", "a local stack's head listens where head_server.host says")
    if publish is not None and engine == "swarm":
        check_swarm_publish(publish)


def _up_local(
    config: Config, name: str, arguments: tuple[str, ...], timeout: float | None, display: UpDisplay
) -> StackState:
    from gymctl.config import without_effect
    from gymctl.engines.local.engine import LocalEngine
    from gymctl.errors import InputError

    if config.vllm:
        hint = "use --engine compose, or give the model server a base_url and take the block out"
        raise InputError("the local engine starts no vLLM", hint)
    say_notes(tuple(without_effect(config)))
    display.expect(["node" if config.is_worker else "head", *config.servers])
    state = LocalEngine(Path.cwd()).up(
        config,
        name=name,
        arguments=arguments,
        shown=shown_arguments(list(arguments), config),
        config_digest=config_digest(config),
        timeout=timeout or 180.0,
        on_event=display.on_server,
    )
    keep_token(config, Path.cwd())
    return state


def _up_compose(
    plan_with: Callable[..., StackPlan],
    config: Config,
    arguments: tuple[str, ...],
    timeout: float | None,
    base_image: str | None,
    ca_bundle: Path | None,
    display: UpDisplay,
) -> StackState:
    """Plan, check and build, render with the open files that this engine allows, start and wait."""
    from gymctl.engines.compose.engine import ComposeEngine
    from gymctl.engines.compose.watch import patience
    from gymctl.engines.docker.gpus import check_hub_heads
    from gymctl.stack import one_machine_notes, render_stack

    engine = ComposeEngine(Path.cwd())
    check_hub_heads(config.vllm.values(), os.environ)
    plan = plan_with(nofile=65535)
    say_notes((*plan.notes, *one_machine_notes(plan.services)))
    nofile, images = engine.prepare(plan, base_image=base_image, ca_bundle=ca_bundle, on_build=display.on_build)
    plan = plan_with(nofile=nofile).with_images(images)
    shown = shown_arguments(list(arguments), config)
    keep_token(config, Path.cwd())
    display.expect([service.name for service in plan.services])
    return engine.up(
        plan,
        render_stack(plan, arguments=shown),
        arguments=shown,
        config_digest=config_digest(config),
        timeout=timeout or patience(plan.services),
        on_event=display.on_server,
    )
