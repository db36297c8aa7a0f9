"""A planned service with the configuration's settings of its container."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from gymctl.config import Config
from gymctl.config.blocks.container_settings import ContainerSettings, VolumeMount
from gymctl.errors import Problem
from gymctl.stack.compose.model import Logging, Mount
from gymctl.stack.service import ServicePlan
from gymctl.stack.slices.host_gateway import GATEWAY, extra_hosts, reroute
from gymctl.stack.slices.interpolation import Piece, SecretFinder

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def with_container(
    service: ServicePlan, settings: ContainerSettings | None, machine_names: Sequence[str]
) -> ServicePlan:
    """A server's service with its own start period, volumes, variables, networks and log driver.

    Addresses of this machine in variables are rerouted as in its slice; ``machine_names`` are names of this machine.
    """
    if settings is None:
        return service
    environment = {name: _rerouted(name, value) for name, value in settings.environment.items()}
    hosts = dict.fromkeys((*service.extra_hosts, *extra_hosts(environment.values(), machine_names)))
    logging = settings.logging
    if settings.start_period is not None:
        start = f"{settings.start_period}s"
    else:
        start = service.start_period
    return replace(
        service,
        start_period=start,
        volumes=(*service.volumes, *map(_mount, settings.volumes)),
        environment=(*service.environment, *environment.items()),
        networks=settings.networks,
        logging=Logging(driver=logging.driver, options=logging.options or None) if logging else None,
        extra_hosts=tuple(hosts),
    )


def container_problems(config: Config) -> Iterator[Problem]:
    """Secrets in a server's ``environment``, where anyone who may inspect a container reads them."""
    finder = SecretFinder(config.secrets)
    for server in config.started.values():
        if server.container:
            variables = server.container.environment
        else:
            variables = {}
        for name, value in variables.items():
            if any(piece.secret for piece in finder.split(value)):
                where = str(config.origins.of((*server.path, "environment", name)) or server.location or "")
                problem = f"{server.name}.environment.{name} holds a secret, which would be visible in `docker inspect`"
                yield Problem(where, problem, "put it into a field of the server; containers receive those as files")


def with_stack_logging(services: Iterable[ServicePlan], config: Config) -> tuple[ServicePlan, ...]:
    """The services; those without a log driver of their own get the one of the configuration's ``logs:``, if any."""
    if config.logs is None:
        return tuple(services)
    logging = Logging(driver=config.logs.driver, options=config.logs.all_options or None)
    return tuple(replace(service, logging=service.logging or logging) for service in services)


def with_start_period(service: ServicePlan, seconds: float) -> ServicePlan:
    """A service whose health check gives it at least ``seconds`` to start."""
    if start_seconds(service) >= seconds:
        return service
    return replace(service, start_period=f"{round(seconds)}s")


def start_seconds(service: ServicePlan) -> float:
    """The start period of a service, a number and a unit (``45m``) as the plan writes it, in seconds."""
    return float(service.start_period[:-1]) * _UNITS[service.start_period[-1]]


def _mount(volume: VolumeMount) -> Mount:
    if volume.is_bind:
        kind = "bind"
    else:
        kind = "volume"
    return Mount(type=kind, source=volume.source, target=volume.target, read_only=volume.read_only or None)


def _rerouted(name: str, value: str) -> str:
    changed = reroute((Piece(value),), GATEWAY, name.lower())
    if changed:
        return "".join(piece.text for piece in changed)
    return value
