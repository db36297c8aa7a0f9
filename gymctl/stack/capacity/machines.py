"""The machines of a stack on several: their servers, recommended sizes, and the calls between machines.

A server is on the machine that its ``host`` names, one without on the head's. Of two figures the larger holds: what the
stack asks for (``resources``, GPU services), and what the pattern wants (seed 002, "Resource Sizing").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gymctl.config import Config, ServerInstance
from gymctl.config.sizes import size_in_bytes
from gymctl.config.vocabulary import LOOPBACK_HOSTS, is_this_machine
from gymctl.stack.addresses import container_addresses
from gymctl.stack.plan import StackPlan
from gymctl.stack.service import ServicePlan
from gymctl.stack.service_names import EDGE_SERVICE, HEAD_SERVICE
from gymctl.stack.worker_nodes import outer_ports

HERE = "this machine"
EVERYWHERE = "0.0.0.0/0"

_GB = 1024.0
# Cores and GB: a stack on one machine, the coordinator of several, a worker of those (seed 002).
_LEAST = {"alone": (4, 16.0), "coordinator": (8, 32.0), "worker": (4, 0.0)}
# Measured with 16,384 rollouts in flight (an agent) and at rest (the others), in MB; docs/performance.md.
_MEMORY_MB = {"responses_api_agents": 600, "head": 60, "ray": 1000, "node": 50}
_RAY_WORKER_MB = 350
_OTHER_MB = 60
_NEMO_GYM_MB = 165


@dataclass(frozen=True)
class Opening:
    """A port of a machine that others must reach: ``callers`` are their addresses or networks, ``server`` listens."""

    port: int
    server: str
    callers: tuple[str, ...]


@dataclass(frozen=True)
class Machine:
    """One machine. ``cpus`` and ``memory_gb`` are its recommended size, ``asked_*`` what its containers request."""

    address: str
    role: str
    holds: tuple[str, ...]
    cpus: float
    memory_gb: float
    gpus: str
    asked_cpus: float
    asked_memory_gb: float
    openings: tuple[Opening, ...] = ()


def plan_machines(config: Config, plan: StackPlan) -> tuple[Machine, ...]:
    """The machines of a configuration of all their files together; the head's first."""
    places = {name: _place(server, config) for name, server in config.started.items()}
    head = _head_place(config)
    order = list(dict.fromkeys([head, *places.values()]))
    holds = {place: [service for service in plan.services if _is_at(service, place, places, head)] for place in order}
    openings = _openings(config, places, head)
    openings.setdefault(head, []).extend(_edge_openings(config))
    return tuple(
        _machine(place, holds[place], openings.get(place, ()), is_head=place == head, alone=len(order) == 1)
        for place in order
    )


def _head_place(config: Config) -> str:
    host = config.head.host
    if host is not None and not is_this_machine(host):
        return host
    return HERE


def _place(server: ServerInstance, config: Config) -> str:
    if server.host is not None and not is_this_machine(server.host):
        return server.host
    return _head_place(config)


def _is_at(service: ServicePlan, place: str, places: Mapping[str, str], head: str) -> bool:
    """Servers run on the machine of their host, with the services that they need, such as vLLM."""
    if service.name in places:
        return places[service.name] == place
    users = [places[name] for name in service.used_by if name in places]
    return place == (users[0] if users else head)


def _machine(
    place: str, services: Iterable[ServicePlan], openings: Iterable[Opening], *, is_head: bool, alone: bool
) -> Machine:
    held = list(services)
    cpus = sum(_cpus(service) * service.replicas for service in held)
    memory = sum(_memory_mb(service) * service.replicas for service in held) / _GB
    gpus = [_gpus(service) for service in held]
    if is_head:
        role = "coordinator"
    else:
        role = "worker"
    if alone:
        role = "alone"
    least_cpus, least_memory = _LEAST[role]
    return Machine(
        address=place,
        role=role,
        holds=tuple(_title(service) for service in held),
        cpus=max(least_cpus, cpus),
        memory_gb=max(least_memory, round(memory, 1)),
        gpus="all" if "all" in gpus else str(sum(number for number in gpus if isinstance(number, int)) or "-"),
        asked_cpus=cpus,
        asked_memory_gb=round(memory, 2),
        openings=tuple(openings),
    )


def _title(service: ServicePlan) -> str:
    if service.replicas > 1:
        return f"{service.name} x {service.replicas}"
    return service.name


def _cpus(service: ServicePlan) -> float:
    bounds = service.bounds
    if bounds:
        parts = [part.cpus for part in (bounds.limits, bounds.reservations) if part and part.cpus]
    else:
        parts = []
    return max((float(part) for part in parts), default=0.0)


def _memory_mb(service: ServicePlan) -> float:
    """What it may take: its limit, else its reservation, else what one like it was measured to take."""
    bounds = service.bounds
    for part in (bounds.limits, bounds.reservations) if bounds else ():
        if part and part.memory:
            return size_in_bytes(part.memory) / 1024**2
    if "nemo-gym" in service.image:
        return _NEMO_GYM_MB
    if service.kind == "ray" and service.implementation == "worker":
        return _RAY_WORKER_MB
    return _MEMORY_MB.get(service.kind, _OTHER_MB)


def _gpus(service: ServicePlan) -> int | str:
    """GPUs that a service reserves, all replicas together."""
    count = 0
    for device in service.devices:
        if device.count == "all":
            return "all"
        count += len(device.device_ids or ()) or int(device.count or 0)
    return count * service.replicas


def _openings(config: Config, places: Mapping[str, str], head: str) -> dict[str, list[Opening]]:
    """What each machine must let in: callers of its servers, the workers at the head, the head's own probes."""
    inner = {name: address.port for name, address in container_addresses(config).items()}
    callers = _callers_elsewhere(config, places, head)
    openings: dict[str, list[Opening]] = {}
    workers = sorted({place for place in places.values() if place != head})
    if workers:
        openings[head] = [Opening(config.head.port, HEAD_SERVICE, tuple(workers))]
    for place in dict.fromkeys(places.values()):
        here = {name: server for name, server in config.started.items() if places[name] == place}
        ports = outer_ports(here, config.head.port, inner)
        for name in here:
            if callers[name]:
                openings.setdefault(place, []).append(Opening(ports[name], name, tuple(sorted(callers[name]))))
    return openings


def _edge_openings(config: Config) -> Iterator[Opening]:
    """The port of the edge, if other machines reach it."""
    edge = config.edge
    if edge is not None and edge.address not in LOOPBACK_HOSTS:
        yield Opening(edge.port, EDGE_SERVICE, tuple(edge.clients) or (EVERYWHERE,))


def _callers_elsewhere(config: Config, places: Mapping[str, str], head: str) -> dict[str, set[str]]:
    """The other machines from which each server is called: by servers that refer to it, and by the head's probes."""
    callers = {name: {head} - {place} for name, place in places.items()}
    for name, server in config.started.items():
        for reference in server.references:
            if reference.name in places:
                callers[reference.name] |= {places[name]} - {places[reference.name]}
    return callers
