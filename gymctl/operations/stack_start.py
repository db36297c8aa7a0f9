"""How each engine brings up a stack: plan, build, render, start and wait."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config import Config, EngineKind
from gymctl.config.vocabulary import POLICY_TOKEN
from gymctl.engines.own_folder import write_files
from gymctl.engines.state import StackState
from gymctl.errors import InputError
from gymctl.operations.change_summary import changes_between
from gymctl.operations.configuration import (
    NOFILE,
    PlanOptions,
    config_digest,
    display_arguments,
    plan,
    stack_name,
)
from gymctl.operations.default_arguments import TypedOptions
from gymctl.operations.events import Notice, OnStackEvent, ServersExpected
from gymctl.operations.exposure import local_exposure
from gymctl.operations.hop_tokens import store_local_tokens
from gymctl.operations.monitoring import local_monitoring, local_monitoring_note, stack_monitoring
from gymctl.operations.policy_token import policy_token
from gymctl.operations.stack_files import store_stack_files

if TYPE_CHECKING:
    from gymctl.stack import StackPlan

_LOCAL_TIMEOUT_S = 180.0


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
class StackStart:
    """One stack that is brought up: what, where, how."""

    config: Config
    options: PlanOptions
    images: ImageOptions
    directory: Path
    typed: TypedOptions
    timeout: float | None
    drain_timeout: float
    """Seconds that an old container may take to finish its requests and sessions."""
    on_event: OnStackEvent
    changes: list[str] = field(default_factory=list)
    """What has been done to the containers of a stack that was there before."""

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


def _up_local(start: StackStart) -> StackState:
    from gymctl.engines.local.engine import LocalEngine
    from gymctl.engines.local.ignored_settings import ignored_settings

    config = start.config
    if config.vllm:
        hint = "use --engine compose, or give the model server a base_url and remove the block"
        raise InputError("the local engine does not start vLLM", hint)
    start.note(list(ignored_settings(config)))
    start.on_event(ServersExpected(("node" if config.is_worker else "head", *config.started)))
    token = policy_token(start.directory)
    store_local_tokens(config, start.directory)
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
    store_stack_files(config, start.directory, {POLICY_TOKEN: token})
    write_files(start.directory, local_monitoring(config, state))
    start.note(local_monitoring_note(config))
    return state


def _up_compose(start: StackStart) -> StackState:
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
    store_stack_files(start.config, start.directory, stack.secrets)
    write_files(start.directory, stack_monitoring(start.config, stack))
    start.on_event(ServersExpected(tuple(service.title for service in stack.services)))
    state = engine.up(
        stack,
        render_stack(stack, arguments=start.command),
        arguments=start.command,
        config_digest=config_digest(start.config),
        timeout=start.timeout or patience(stack.services),
        drain_timeout=start.drain_timeout,
        on_event=start.on_event,
    )
    start.changes.extend(changes_between(before, engine.containers(stack.name)))
    start.note([f"changes: {change}" for change in start.changes])
    return state


def _up_swarm(start: StackStart) -> StackState:
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
    store_stack_files(start.config, start.directory, stack.secrets)
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


STARTERS: Mapping[EngineKind, Callable[[StackStart], StackState]]
STARTERS = {EngineKind.COMPOSE: _up_compose, EngineKind.LOCAL: _up_local, EngineKind.SWARM: _up_swarm}
"""What starts a stack, by engine."""
