"""Bring up a stack: from a configuration to running, healthy servers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gymctl.config import Config, EngineKind, Role
from gymctl.engines.collections import changed_collections
from gymctl.engines.outside_servers import outside_servers, silent_servers
from gymctl.engines.protocol import DRAIN_TIMEOUT_S
from gymctl.engines.saved_stack import SavedStack, keep_as_previous, read_stack, restore_records
from gymctl.engines.server_code import code_digests
from gymctl.engines.state import StackState, find_state, save_configuration, save_state
from gymctl.errors import GymctlError, InputError
from gymctl.operations.configuration import (
    PlanOptions,
    check_swarm_publish,
    config_digest,
    followed_version,
    masked_configuration,
)
from gymctl.operations.default_arguments import TypedOptions
from gymctl.operations.endpoint_probes import endpoint_notes
from gymctl.operations.events import OnStackEvent, ignore
from gymctl.operations.exposure import check_exposed_engine
from gymctl.operations.membership import check_swarm_role, published_head
from gymctl.operations.stack_change import stack_change
from gymctl.operations.stack_start import STARTERS, ImageOptions, StackStart

NOTHING_TYPED = TypedOptions()


def up(
    config: Config,
    options: PlanOptions | None = None,
    *,
    engine: EngineKind = EngineKind.COMPOSE,
    images: ImageOptions | None = None,
    timeout: float | None = None,
    drain: float | None = None,
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
        drain: Compose: seconds that old containers may take to finish their work in an update; by default 600.
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
    start = StackStart(
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
        drain_timeout=drain_timeout(engine, drain),
        on_event=on_event,
    )
    state = _change(start, engine, while_collecting=while_collecting)
    if probe:
        start.note([*silent_servers(state), *endpoint_notes(config, state, directory)])
    return state


def _change(start: StackStart, engine: EngineKind, *, while_collecting: bool) -> StackState:
    """Start the servers as the only command that changes the stack, and record it."""
    with stack_change(start.directory, "gymctl up") as detail:
        state = _bring_up(start, engine, while_collecting=while_collecting)
        detail.text = ", ".join(start.changes) or f"{len(state.servers)} started"
        return state


def _bring_up(start: StackStart, engine: EngineKind, *, while_collecting: bool) -> StackState:
    """Start the servers and save the state; if that fails, report what happened to the earlier stack."""
    before = find_state(start.directory)
    code = code_digests(start.config.started)
    digest = config_digest(start.config)
    start.note(changed_collections(start.directory, before, digest, code, allowed=while_collecting))
    earlier = read_stack(start.directory)
    try:
        state = STARTERS[engine](start)
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
        if earlier is not None and earlier.is_other_than(read_stack(start.directory)):
            keep_as_previous(start.directory, earlier)
    except KeyboardInterrupt as interrupt:
        _restore_tokens(start.directory, earlier)
        start.note(_stopped(before, start.directory))
        cleanup = "to clean up: gymctl down" if find_state(start.directory) else "nothing was started"
        raise KeyboardInterrupt(str(interrupt) or f"interrupted; {cleanup}") from None
    except GymctlError:
        _restore_tokens(start.directory, earlier)
        start.note(_stopped(before, start.directory))
        raise
    return state


def _restore_tokens(directory: Path, earlier: SavedStack | None) -> None:
    """Have the directory's tokens and certificates be those of the earlier version, if this continues to run."""
    if earlier is not None and find_state(directory) == earlier.state:
        restore_records(directory, earlier)


def drain_timeout(engine: EngineKind, drain: float | None) -> float:
    """Seconds that old containers may take to finish their work; ``drain`` was requested.

    Raises:
        InputError: it was requested of an engine that has its own limit.
    """
    if drain is not None and engine is not EngineKind.COMPOSE:
        raise InputError("--drain is for --engine compose", "remove it, or use Compose")
    if drain is None:
        return DRAIN_TIMEOUT_S
    return drain


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
