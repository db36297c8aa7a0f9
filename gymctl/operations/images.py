"""Build a configuration's images and distribute them to the nodes of a Swarm, without ``up``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gymctl.config import Config
from gymctl.engines.build.images import build_images
from gymctl.engines.docker.daemon import connect, spoken_errors
from gymctl.engines.docker.requirements import check_commands, check_engine
from gymctl.engines.swarm.images import check_hosts, check_registry, load_images, push_images
from gymctl.operations.configuration import PlanOptions, plan
from gymctl.operations.events import OnStackEvent, ignore
from gymctl.operations.stack_start import ImageOptions


@dataclass(frozen=True)
class LoadedImages:
    """What one engine got: images that were sent to it, and images that it had."""

    host: str
    sent: int
    present: int


def check_destination(images: ImageOptions) -> None:
    """Check the registry and hosts before anything is loaded or built.

    Raises:
        InputError: one of them cannot be reached by that name.
    """
    if images.registry:
        check_registry(images.registry)
    check_hosts(images.hosts)


def push(
    config: Config, options: PlanOptions, images: ImageOptions, *, on_event: OnStackEvent = ignore
) -> Mapping[str, str]:
    """Build a configuration's images and push them to a registry; returns the pushed digest of each.

    Raises:
        InputError: the registry's name is wrong.
        EngineError: an image could not be built or pushed.
    """
    check_registry(images.registry)
    names = _build(config, options, images, on_event)
    with spoken_errors():
        return push_images(connect(""), names, images.registry)


def load_into_hosts(
    config: Config, options: PlanOptions, images: ImageOptions, *, on_event: OnStackEvent = ignore
) -> list[LoadedImages]:
    """Build a configuration's images and copy to each host's engine those that it does not have.

    Raises:
        InputError: a host's address is wrong.
        EngineError: an image could not be built or sent.
    """
    check_hosts(images.hosts)
    names = _build(config, options, images, on_event)
    with spoken_errors():
        sent = load_images(list(names.values()), images.hosts)
    return [LoadedImages(host=host, sent=count, present=len(names) - count) for host, count in sent.items()]


def _build(config: Config, options: PlanOptions, images: ImageOptions, on_event: OnStackEvent) -> dict[str, str]:
    """Build what the stack of a configuration runs in; returns the name of each image by its tag."""
    stack = plan(config, options, directory=Path.cwd())
    check_commands("")
    check_engine(connect(""))
    return build_images(stack.images, base_image=images.base_image, ca_bundle=images.ca_bundle, on_event=on_event)
