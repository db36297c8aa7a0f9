"""The images that the services of a running stack use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gymctl.config.choices import EngineKind
from gymctl.engines.docker.daemon import connect
from gymctl.engines.state import StackState


def image_digests(state: StackState) -> dict[str, str]:
    """The image of each service: its digest, or on Swarm the name it is deployed by; empty on the local engine.

    Raises:
        EngineError: the engine does not answer.
    """
    return _READERS[EngineKind(state.engine)](state)


def _of_containers(state: StackState) -> dict[str, str]:
    from gymctl.engines.docker.containers import find_containers

    containers = find_containers(connect(""), state.name)
    return {item.service: item.image for item in sorted(containers, key=lambda item: item.service)}


def _of_services(state: StackState) -> dict[str, str]:
    from gymctl.engines.swarm.tasks import find_services

    services = find_services(connect(""), state.name)
    specs = {name: service.spec["TaskTemplate"]["ContainerSpec"] for name, service in sorted(services.items())}
    return {name: spec["Image"] for name, spec in specs.items()}


def _of_no_container(_: StackState) -> dict[str, str]:
    return {}


_READERS: Mapping[EngineKind, Callable[[StackState], dict[str, str]]] = {
    EngineKind.COMPOSE: _of_containers,
    EngineKind.SWARM: _of_services,
    EngineKind.LOCAL: _of_no_container,
}
