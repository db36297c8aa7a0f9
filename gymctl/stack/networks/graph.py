"""Which services of a stack call each other, and groups of services in which each calls every other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations

from gymctl.config import Config
from gymctl.config.vocabulary import REPLICA_SUFFIX
from gymctl.stack.networks.egress_need import named_hosts
from gymctl.stack.service import PROMETHEUS_KIND, REPLICA_KIND, ServicePlan

Neighbours = Mapping[str, set[str]]
"""The services that a service calls or is called by, by service name; those on every network are left out."""


def is_hub(service: ServicePlan) -> bool:
    """Whether a service is on every network of its stack: the head, and Prometheus, which scrapes all servers."""
    return service.kind in ("head", PROMETHEUS_KIND)


def neighbours(services: Sequence[ServicePlan], config: Config) -> Neighbours:
    """The calls between servers: references, addresses that name a service, proxies, Ray.

    A Ray cluster and its users are one group: the nodes connect back to the servers that use them. The order
    follows the names, so that networks keep their names whatever the order of the servers.
    """
    names = {name: set[str]() for name in sorted(service.name for service in services if not is_hub(service))}
    for service in services:
        for first, second in _calls(service, services, config):
            if first != second and first in names and second in names:
                names[first].add(second)
                names[second].add(first)
    return names


def _calls(service: ServicePlan, services: Sequence[ServicePlan], config: Config) -> Iterator[tuple[str, str]]:
    """Pairs of services of which one calls the other, found by looking at one service."""
    yield from ((service.name, need) for need in service.needs)
    if service.kind == REPLICA_KIND:
        yield service.name.removesuffix(REPLICA_SUFFIX), service.name
    server = config.servers.get(service.server)
    if server is not None and service.implementation != "proxy":
        called = [reference.name for reference in server.references]
        yield from ((service.name, other) for other in _entries(called, services))
        hosts = named_hosts(server)
        yield from ((service.name, other.name) for other in services if other.name.lower() in hosts)
    if service.kind == "edge":
        yield from ((service.name, other) for other in _entries(service.used_by, services))
    if service.kind == "ray":
        nodes = [other.name for other in services if other.kind == "ray"]
        yield from combinations((*nodes, *_with_replicas(service.used_by, services)), 2)


def _entries(servers: Collection[str], services: Sequence[ServicePlan]) -> list[str]:
    """The services that are called when ``servers`` are: not replicas behind a proxy."""
    return [service.name for service in services if service.server in servers and service.kind != REPLICA_KIND]


def _with_replicas(servers: Sequence[str], services: Sequence[ServicePlan]) -> list[str]:
    """The services in which the code of ``servers`` runs."""
    return [service.name for service in services if service.server in servers and service.implementation != "proxy"]


def groups(calls: Neighbours) -> list[tuple[str, ...]]:
    """Groups of services that together hold every call, and no pair of services that do not call each other.

    A service without calls is a group of its own. The same input gives the same groups.
    """
    covered: set[frozenset[str]] = set()
    all_groups: list[tuple[str, ...]] = []
    for first, others in calls.items():
        if not others:
            all_groups.append((first,))
        for second in sorted(others):
            if frozenset((first, second)) not in covered:
                group = _grown([first, second], calls, covered)
                covered |= {frozenset(pair) for pair in combinations(group, 2)}
                all_groups.append(tuple(group))
    return all_groups


def _grown(group: list[str], calls: Neighbours, covered: set[frozenset[str]]) -> list[str]:
    """A group with the services that all of its members call, as far as they bring calls that no group has."""
    for other in calls:
        if other in group or not calls[other].issuperset(group):
            continue
        if any(frozenset((other, member)) not in covered for member in group):
            group = [*group, other]
    return group


def separate_groups(names: Sequence[str], calls: Neighbours) -> list[list[str]]:
    """The services ``names``, each in one group, whose members all call each other."""
    separated: list[list[str]] = []
    for name in names:
        group = next((group for group in separated if calls[name].issuperset(group)), None)
        if group is None:
            separated.append([name])
        else:
            group.append(name)
    return separated
