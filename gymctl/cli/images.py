"""``gymctl images``: give a configuration's images to the nodes of a Swarm, apart from ``up``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gymctl.cli.loading import (
    BaseImage,
    CaBundle,
    Configuration,
    GymRoot,
    GymVersion,
    MergeOrderOption,
    StackName,
    load,
    plan_for,
    stack_name,
)

if TYPE_CHECKING:
    from gymctl.config import Config

commands = typer.Typer(
    name="images", help="Give images to the nodes of a Swarm.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.add_typer(commands)


@commands.callback()
def _group() -> None:
    pass


@commands.command()
def push(
    configuration: Configuration = None,
    registry: str = typer.Option(..., "--registry", help="HOST/PREFIX."),
    name: StackName = None,
    merge_order: MergeOrderOption = None,
    base_image: BaseImage = None,
    ca_bundle: CaBundle = None,
    gym_root: GymRoot = None,
    gym_version: GymVersion = None,
) -> None:
    """Build a configuration's images and push them to a registry; print each by digest.

    \b
    Examples:
      gymctl images push examples/quickstart --registry registry.example:5000/gym
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.engines.docker.daemon import connect, spoken_errors
    from gymctl.engines.swarm.images import check_registry, push_images

    check_registry(registry)
    config = load(configuration, merge_order, gym_root=gym_root)
    images = _build(config, name, gym_root, gym_version, base_image, ca_bundle)
    with spoken_errors():
        client = connect("")
        for image, pushed in push_images(client, images, registry).items():
            typer.echo(f"{image}  {pushed}")


@commands.command("load")
def load_into(
    configuration: Configuration = None,
    host: list[str] = typer.Option(..., "--host", help="ssh://USER@NODE or tcp://NODE:2376; repeat it."),
    name: StackName = None,
    merge_order: MergeOrderOption = None,
    base_image: BaseImage = None,
    ca_bundle: CaBundle = None,
    gym_root: GymRoot = None,
    gym_version: GymVersion = None,
) -> None:
    """Build a configuration's images and copy them to other nodes' engines; what is there already is not sent.

    \b
    Examples:
      gymctl images load examples/quickstart --host ssh://me@worker-1 --host ssh://me@worker-2
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.engines.docker.daemon import spoken_errors
    from gymctl.engines.swarm.images import check_hosts, load_images

    check_hosts(host)
    config = load(configuration, merge_order, gym_root=gym_root)
    images = _build(config, name, gym_root, gym_version, base_image, ca_bundle)
    with spoken_errors():
        for where, count in load_images(list(images.values()), host).items():
            typer.echo(f"{where}: {count} sent, {len(images) - count} there already")


def _build(
    config: Config,
    name: str | None,
    gym_root: Path | None,
    gym_version: str | None,
    base_image: str | None,
    ca_bundle: Path | None,
) -> dict[str, str]:
    """Build what the stack of a configuration runs in; the name of each image by its tag."""
    from gymctl.cli.output import UpDisplay
    from gymctl.engines.build.images import build_images
    from gymctl.engines.docker.daemon import check_commands, connect

    called = stack_name(name, Path.cwd())
    plan = plan_for(config, called, nofile=65535, slices="closure", gym_root=gym_root, gym_version=gym_version)
    check_commands("")
    connect("").close()
    with UpDisplay() as display:
        return build_images(plan.images, base_image=base_image, ca_bundle=ca_bundle, on_event=display.on_build)
