"""Bring up a stack: from a configuration to running, healthy servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config import Config, EngineKind, Role
from gymctl.config.vocabulary import POLICY_TOKEN
from gymctl.engines.collections import changed_collections
from gymctl.engines.outside_servers import outside_servers, silent_servers
from gymctl.engines.server_code import code_digests
from gymctl.engines.state import StackState, find_state, save_configuration, save_state, write_files
from gymctl.errors import GymctlError, InputError
from gymctl.operations.change_summary import changes_note
from gymctl.operations.configuration import (
    NOFILE,
    PlanOptions,
    check_swarm_publish,
    config_digest,
    display_arguments,
    followed_version,
    masked_configuration,
    plan,
    stack_name,
)
from gymctl.operations.default_arguments import TypedOptions
from gymctl.operations.endpoint_probes import endpoint_notes
from gymctl.operations.events import Notice, OnStackEvent, ServersExpected, ignore
from gymctl.operations.exposure import check_exposed_engine, local_exposure
from gymctl.operations.membership import check_swarm_role, published_head
from gymctl.operations.monitoring import local_monitoring, local_monitoring_note, stack_monitoring
from gymctl.operations.policy_token import policy_token, store_tokens

if TYPE_CHECKING:
    from gymctl.stack import StackPlan

_LOCAL_TIMEOUT_S = 180.0
NOTHING_TYPED = TypedOptions()


@dataclass(frozen=True)
class ImageOptions:
    """How images are built and given to the nodes of a Swarm."""

    base_image: str | None = None
    """Image to build on; by default python:3.12-slim."""
    ca_bundle: Path | None = None
    """Certificates that builds and servers trust; by default the machine's own."""
    registry: str = ""
    """Swarm: HOST/PREFIX to push the images to."""
    hosts: tuple[str, ...] = ()
    """Swarm: ssh:// or tcp:// addresses of engines to load the images into."""


@dataclass(frozen=True)
class _Start:
    """One stack that is brought up: what, where, how."""

    config: Config
    options: PlanOptions
    images: ImageOptions
    directory: Path
    typed: TypedOptions
    timeout: float | None
    on_event: OnStackEvent

    def plan(self, nofile: int, *, bounded_logs: bool = True) -> StackPlan:
        """The plan for containers that may have ``nofile`` open files, with a limit on their logs or without."""
        options = replace(
            self.options,
            nofile=nofile,
            bounded_logs=bounded_logs,
            ca_bundle=self.images.ca_bundle,
            timeout=self.timeout,
        )
        return plan(self.config, options, directory=self.directory)

    def note(self, texts: Sequence[str]) -> None:
        """Pass on sentences that the user should read."""
        for text in texts:
            self.on_event(Notice(text))

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments and options that render the same stack again, without secrets."""
        return (*display_arguments(self.config), *self.typed.of_file)


def up(
    config: Config,
    options: PlanOptions | None = None,
    *,
    engine: EngineKind = EngineKind.COMPOSE,
    images: ImageOptions | None = None,
    timeout: float | None = None,
    directory: Path | None = None,
    typed: TypedOptions = NOTHING_TYPED,
    probe: bool = True,
    while_collecting: bool = False,
    on_event: OnStackEvent = ignore,
) -> StackState:
    """Start a configuration's stack in a directory and wait until every server is healthy.

    Args:
        config: the configuration.
        options: choices about the plan.
        engine: what runs it.
        images: how images are built and given to a Swarm's nodes.
        timeout: seconds to wait; by default 180, longer where a model is fetched and loaded.
        directory: by default the working directory. One directory has one stack.
        typed: options that an ``up`` without a configuration repeats.
        probe: try every model endpoint once, and note those that do not answer.
        while_collecting: change the stack although a collection runs from it.
        on_event: takes notes, image builds and the states of servers.

    Raises:
        InputError: an option does not fit the engine, or a server's code or configuration is wrong.
        EngineError: the engine is missing or failed, a port is taken, or a server did not become healthy; or a
            collection runs from the stack that would be replaced by another one.
    """
    directory = directory or Path.cwd()
    options = options or PlanOptions()
    images = images or ImageOptions()
    role = config.membership.role if config.membership else Role.ALL
    check_engine_options(engine, role, options.publish, images)
    check_exposed_engine(options.expose, is_swarm=engine is EngineKind.SWARM)
    start = _Start(
        config=config,
        options=replace(
            options,
            publish=published_head(config, options.publish),
            is_probed=probe,
            is_swarm=engine is EngineKind.SWARM,
        ),
        images=images,
        directory=directory,
        typed=typed,
        timeout=timeout,
        on_event=on_event,
    )
    before = find_state(directory)
    code = code_digests(config.started)
    digest = config_digest(config)
    start.note(changed_collections(directory, before, digest, code, allowed=while_collecting))
    state = _bring_up(start, engine, before, code)
    if probe:
        start.note([*silent_servers(state), *endpoint_notes(config, state, directory)])
    return state


def _bring_up(start: _Start, engine: EngineKind, before: StackState | None, code: dict[str, str]) -> StackState:
    """Start the servers and save the state; if that fails, report what happened to the earlier stack."""
    try:
        state = _ENGINES[engine](start)
        outside = outside_servers(start.config, engine)
        state = replace(
            state,
            engine_options=start.typed.of_engine,
            code=code,
            gym_version=followed_version(start.config, start.options),
            outside=outside,
        )
        save_state(start.directory, state)
        save_configuration(start.directory, state.config_digest, masked_configuration(start.config))
    except KeyboardInterrupt:
        start.note(_stopped(before, start.directory))
        cleanup = "to clean up: gymctl down" if find_state(start.directory) else "nothing was started"
        raise KeyboardInterrupt(f"interrupted; {cleanup}") from None
    except GymctlError:
        start.note(_stopped(before, start.directory))
        raise
    return state


def check_engine_options(engine: EngineKind, role: Role, publish: str | None, images: ImageOptions) -> None:
    """Check that an engine takes the options of a stack before anything is loaded or built.

    Raises:
        InputError: it does not.
    """
    for option, value in (("--registry", images.registry), ("--host", images.hosts)):
        if value and engine is not EngineKind.SWARM:
            raise InputError(f"{option} is for --engine swarm", "remove it, or add --engine swarm")
    if engine is EngineKind.SWARM:
        check_swarm_role(role)
        check_swarm_publish(publish)
    if publish is not None and engine is EngineKind.LOCAL:
        raise InputError("--publish is for containers", "set head_server.host for a local stack")


def _stopped(before: StackState | None, directory: Path) -> list[str]:
    """A sentence about the stack that made room for one that did not come up."""
    if before is None or find_state(directory) is not None:
        return []
    return [f"the previous stack {before.name} has been stopped"]


def _up_local(start: _Start) -> StackState:
    from gymctl.engines.local.engine import LocalEngine
    from gymctl.engines.local.ignored_settings import ignored_settings

    config = start.config
    if config.vllm:
        hint = "use --engine compose, or give the model server a base_url and remove the block"
        raise InputError("the local engine does not start vLLM", hint)
    start.note(list(ignored_settings(config)))
    start.on_event(ServersExpected(("node" if config.is_worker else "head", *config.started)))
    token = policy_token(start.directory)
    exposure = local_exposure(config, start.options.expose, start.options.expose_to)
    state = LocalEngine(start.directory).up(
        config,
        name=stack_name(start.options.name, start.directory),
        display_args=display_arguments(config),
        config_digest=config_digest(config),
        timeout=start.timeout or _LOCAL_TIMEOUT_S,
        on_event=start.on_event,
        policy_token=token,
        exposure=exposure,
        on_note=lambda text: start.note([text]),
    )
    store_tokens(config, start.directory, {POLICY_TOKEN: token})
    write_files(start.directory, local_monitoring(config, state))
    start.note(local_monitoring_note(config))
    return state


def _up_compose(start: _Start) -> StackState:
    """Plan, check and build, render with the open files that this engine allows, start and wait."""
    from gymctl.engines.compose.engine import ComposeEngine
    from gymctl.engines.compose.watch import patience
    from gymctl.engines.docker.gpus import check_hub_heads
    from gymctl.stack import one_machine_notes, render_stack

    engine = ComposeEngine(start.directory)
    check_hub_heads(start.config.vllm.values(), os.environ)
    stack = start.plan(NOFILE)
    images = start.images
    start.note([*stack.notes, *one_machine_notes(stack.services)])
    prepared = engine.prepare(stack, base_image=images.base_image, ca_bundle=images.ca_bundle, on_build=start.on_event)
    start.note(prepared.notes)
    before = engine.containers(stack.name)
    stack = start.plan(prepared.nofile, bounded_logs=prepared.bounded_logs).with_images(prepared.images)
    store_tokens(start.config, start.directory, stack.secrets)
    write_files(start.directory, stack_monitoring(start.config, stack))
    start.on_event(ServersExpected(tuple(service.title for service in stack.services)))
    state = engine.up(
        stack,
        render_stack(stack, arguments=start.command),
        arguments=start.command,
        config_digest=config_digest(start.config),
        timeout=start.timeout or patience(stack.services),
        on_event=start.on_event,
    )
    start.note(changes_note(before, engine.containers(stack.name)))
    return state


def _up_swarm(start: _Start) -> StackState:
    """Plan, build, give the images to the nodes, render, deploy and watch."""
    from gymctl.engines.compose.watch import patience
    from gymctl.engines.swarm.engine import SwarmEngine
    from gymctl.engines.swarm.preparation import distribution_notes
    from gymctl.stack.swarm import KeyOutcome, grouped, render_swarm

    engine = SwarmEngine(start.directory)
    images = start.images
    stack = start.plan(NOFILE)
    start.note(stack.notes)
    nofile, deployed = engine.prepare(
        stack,
        registry=images.registry,
        hosts=images.hosts,
        base_image=images.base_image,
        ca_bundle=images.ca_bundle,
        on_build=start.on_event,
    )
    stack = start.plan(nofile)
    store_tokens(start.config, start.directory, stack.secrets)
    rendering = render_swarm(stack, arguments=start.command, images=deployed)
    lost = [change for change in rendering.changes if change.outcome is KeyOutcome.LOST]
    start.note([*grouped(lost), *distribution_notes(registry=images.registry, hosts=images.hosts)])
    write_files(start.directory, stack_monitoring(start.config, stack))
    start.on_event(ServersExpected(tuple(item.title for item in stack.services if item.name in rendering.services)))
    return engine.up(
        stack,
        rendering,
        images=deployed,
        arguments=start.command,
        config_digest=config_digest(start.config),
        timeout=start.timeout or patience(stack.services),
        on_event=start.on_event,
    )


_ENGINES: Mapping[EngineKind, Callable[[_Start], StackState]]
_ENGINES = {EngineKind.COMPOSE: _up_compose, EngineKind.LOCAL: _up_local, EngineKind.SWARM: _up_swarm}
