"""``gymctl up --engine swarm``: what it takes besides, and its steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gymctl.cli.output import UpDisplay
    from gymctl.config import Config
    from gymctl.engines.state import StackState
    from gymctl.stack import StackPlan

Registry = Annotated[
    str | None,
    typer.Option(
        "--registry", help="Swarm: push the images to HOST/PREFIX, deploy them by digest.", show_default=False
    ),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        help="Swarm: load the images into the engine at ssh://USER@NODE or tcp://NODE:2376; repeat it.",
        show_default=False,
    ),
]


def up_swarm(
    plan_with: Callable[..., StackPlan],
    config: Config,
    arguments: tuple[str, ...],
    timeout: float | None,
    base_image: str | None,
    ca_bundle: Path | None,
    registry: str,
    hosts: tuple[str, ...],
    display: UpDisplay,
) -> StackState:
    """Plan, build, give the images to the nodes, render, deploy and watch."""
    from gymctl.cli.loading import config_digest, say_notes, shown_arguments
    from gymctl.engines.compose.watch import patience
    from gymctl.engines.swarm.engine import SwarmEngine
    from gymctl.stack.swarm import grouped, render_swarm
    from gymctl.stack.swarm.report import Outcome

    engine = SwarmEngine(Path.cwd())
    plan = plan_with(nofile=65535)
    say_notes(plan.notes)
    nofile, images = engine.prepare(
        plan, registry=registry, hosts=hosts, base_image=base_image, ca_bundle=ca_bundle, on_build=display.on_build
    )
    plan = plan_with(nofile=nofile)
    shown = shown_arguments(list(arguments), config)
    rendering = render_swarm(plan, arguments=shown, images=images)
    lost = [change for change in rendering.changes if change.outcome is Outcome.LOST]
    say_notes((*grouped(lost), *engine.notes(registry=registry, hosts=hosts)))
    display.expect(rendering.services)
    return engine.up(
        plan,
        rendering,
        images=images,
        arguments=shown,
        config_digest=config_digest(config),
        timeout=timeout or patience(plan.services),
        on_event=display.on_server,
    )
