"""``gymctl images``: distribute a configuration's images to the nodes of a Swarm, without ``up``."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from gymctl.cli.help import SCALE, command_group
from gymctl.cli.options import (
    AsJson,
    BaseImage,
    CaBundle,
    Configuration,
    GymRoot,
    GymVersion,
    MergeOrderOption,
    StackName,
    Verbose,
    image_options,
    load_configuration,
)

commands = command_group("images", "Distribute images to the nodes of a Swarm.")


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.add_typer(commands, rich_help_panel=SCALE)


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
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Build a configuration's images and push them to a registry; print the digest of each.

    \b
    Examples:
      gymctl images push examples/quickstart --registry registry.example:5000/gym
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.cli.display import UpDisplay
    from gymctl.operations.configuration import PlanOptions
    from gymctl.operations.images import check_destination
    from gymctl.operations.images import push as push_images

    images = image_options(base_image, ca_bundle, registry)
    check_destination(images)
    config = load_configuration(configuration, merge_order, gym_root=gym_root, gym_version=gym_version)
    with UpDisplay() as display:
        options = PlanOptions(name=name, gym_version=gym_version)
        pushed = push_images(config, options, images, on_event=display.on_event)
    if as_json:
        typer.echo(json.dumps(dict(pushed)))
        return
    for image, digest in pushed.items():
        typer.echo(f"{image}  {digest}")


@commands.command("load")
def load_into(
    configuration: Configuration = None,
    host: list[str] = typer.Option(..., "--host", help="ssh://USER@NODE or tcp://NODE:2376; may be repeated."),
    name: StackName = None,
    merge_order: MergeOrderOption = None,
    base_image: BaseImage = None,
    ca_bundle: CaBundle = None,
    gym_root: GymRoot = None,
    gym_version: GymVersion = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Build a configuration's images and copy missing ones to the engines of other nodes.

    \b
    Examples:
      gymctl images load examples/quickstart --host ssh://me@worker-1 --host ssh://me@worker-2
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.cli.display import UpDisplay
    from gymctl.operations.configuration import PlanOptions
    from gymctl.operations.images import check_destination, load_into_hosts

    images = image_options(base_image, ca_bundle, hosts=host)
    check_destination(images)
    config = load_configuration(configuration, merge_order, gym_root=gym_root, gym_version=gym_version)
    with UpDisplay() as display:
        options = PlanOptions(name=name, gym_version=gym_version)
        loaded = load_into_hosts(config, options, images, on_event=display.on_event)
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in loaded]))
        return
    for item in loaded:
        typer.echo(f"{item.host}: {item.sent} sent, {item.present} already there")
