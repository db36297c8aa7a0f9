"""The networks of each service, so that containers reach only those that they call or are called by.

A group of services of which each calls every other has an internal network, which has no route to other addresses. The
head and Prometheus are members of each. Services with outbound access have other networks, with the same groups. A
server with a list of hosts and the proxy for them have a network for the two of them. A stack on several machines has
one open network, because its servers call those of other machines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from gymctl.config import Config, ServerKind
from gymctl.config.vocabulary import (
    EGRESS_NETWORK,
    EGRESS_PROXY_SUFFIX,
    HOSTS_NETWORK,
    MODELS_NETWORK,
    SERVERS_NETWORK,
)
from gymctl.stack.networks.graph import Neighbours, groups, is_hub, neighbours, separate_groups
from gymctl.stack.service import EGRESS_KIND, ServicePlan

MOST_NETWORKS = 16
"""Networks of one stack: Docker's default address pools have room for about 30 on a machine."""
_LONGEST_NAME = 63  # of a network in Swarm, with the stack's name before it

Networks = dict[str, list[str]]
"""Names of services by the name of their network."""


def with_networks(services: Sequence[ServicePlan], config: Config, stack: str) -> list[ServicePlan]:
    """The services with the networks of the stack that they join; with none on a stack of several machines."""
    if config.membership is not None:
        return list(services)
    services = _with_egress_of_ray(services)
    others = [service for service in services if service.kind != EGRESS_KIND]
    of_proxies = _proxy_networks(services, stack)
    most = MOST_NETWORKS - len(of_proxies)
    calls = neighbours(others, config)
    networks = _networks(others, calls, stack)
    if len(networks) > most:
        networks = _with_shared_models(others, calls, config, stack)
    if len(networks) > most:
        networks = _zones(others, calls, config)
    networks |= of_proxies
    joined = {service.name: [name for name in networks if service.name in networks[name]] for service in services}
    return [replace(service, stack_networks=tuple(joined[service.name])) for service in services]


def network_notes(services: Sequence[ServicePlan]) -> Iterator[str]:
    """That a stack has too many groups of servers for networks of their own."""
    joined = {name for service in services for name in service.stack_networks}
    if SERVERS_NETWORK in joined:
        yield (
            f"networks for each call between the servers would be more than {MOST_NETWORKS}; agents and environments "
            "share one network, model servers and their callers share another"
        )
    elif MODELS_NETWORK in joined:
        yield (
            f"networks for each call between the servers would be more than {MOST_NETWORKS}; model servers and the "
            "agents that call them share one network, each environment has one with its agents and the model servers "
            "that it calls"
        )


def is_egress(network: str) -> bool:
    """Whether a network of a stack, by its name in the file, has outbound access."""
    return network.startswith(EGRESS_NETWORK)


def is_for_jobs(network: str) -> bool:
    """Whether a network of a stack is one on which its servers reach each other, and which jobs join."""
    return not network.startswith((EGRESS_NETWORK, HOSTS_NETWORK))


def _with_egress_of_ray(services: Sequence[ServicePlan]) -> list[ServicePlan]:
    """Give all of Ray's nodes outbound access if a user has it: a task runs on a node instead of in its server.

    A node calls others by the first of its own addresses, so that all nodes must be on the same networks.
    """
    with_egress = {service.server for service in services if service.egress}
    nodes = [service for service in services if service.kind == "ray"]
    needed = any(node.egress or with_egress.intersection(node.used_by) for node in nodes)
    return [replace(service, egress=needed) if service.kind == "ray" else service for service in services]


def _proxy_networks(services: Sequence[ServicePlan], stack: str) -> Networks:
    """A network for each proxy and the services that use it, and one with outbound access for all proxies.

    So a proxy knows that who calls it is its server, and no hub is able to call it.
    """
    proxies = [service.name for service in services if service.kind == EGRESS_KIND]
    networks = {
        _hosts_network(proxy, stack): [
            proxy,
            *(service.name for service in services if service.egress_proxy == proxy),
        ]
        for proxy in proxies
    }
    if proxies:
        networks[f"{EGRESS_NETWORK}-proxies"] = proxies
    return networks


def _hosts_network(proxy: str, stack: str) -> str:
    """A name for the network of a proxy and its server: the server's, or a digest where that is too long."""
    name = f"{HOSTS_NETWORK}-{proxy.removesuffix(EGRESS_PROXY_SUFFIX)}"
    if len(f"{stack}_{name}") <= _LONGEST_NAME:
        return name
    return f"{HOSTS_NETWORK}-{hashlib.sha256(proxy.encode()).hexdigest()[:8]}"


def _hubs(services: Sequence[ServicePlan]) -> list[str]:
    return [service.name for service in services if is_hub(service)]


def _networks(services: Sequence[ServicePlan], calls: Neighbours, stack: str) -> Networks:
    """A network for each group of services that call each other, the hubs in all of them."""
    return {**_named(groups(calls), services, stack), **_egress(services, calls)}


def _named(members: Iterable[Sequence[str]], services: Sequence[ServicePlan], stack: str) -> Networks:
    """A network for each group in ``members``, and the hubs in all of them."""
    taken = {name for service in services for name in service.networks}
    networks: Networks = {}
    for group in members:
        networks[_name(group, stack, taken | networks.keys())] = [*_hubs(services), *group]
    return networks


def _egress(services: Sequence[ServicePlan], calls: Neighbours) -> Networks:
    """Networks for the services with outbound access; those of one network call each other."""
    named = {service.name: service for service in services if service.egress and not is_hub(service)}
    with_egress = sorted(named, key=lambda name: (named[name].kind != "ray", name))  # Ray's nodes stay together
    hubs = [service.name for service in services if service.egress and is_hub(service)]
    networks: Networks = {}
    for number, group in enumerate(separate_groups(with_egress, calls), start=1):
        networks[EGRESS_NETWORK if number == 1 else f"{EGRESS_NETWORK}-{number}"] = group
    first = [*hubs, *networks.pop(EGRESS_NETWORK, ())]
    return {EGRESS_NETWORK: first, **networks} if first else networks


def _name(group: Sequence[str], stack: str, taken: Collection[str]) -> str:
    """A name for a group: its first two services, or the one with the shorter name."""
    shortest = min(group, key=len)
    candidates = ["-".join(group[:2]), f"{shortest}-calls"]
    if len(group) == 1:
        candidates = [f"{shortest}-alone"]
    for name in candidates:
        if len(f"{stack}_{name}") <= _LONGEST_NAME and name not in taken and not name.startswith("stack-"):
            return name
    digest = hashlib.sha256(" ".join(group[:2]).encode()).hexdigest()
    return f"link-{digest[:8]}"


def _with_shared_models(services: Sequence[ServicePlan], calls: Neighbours, config: Config, stack: str) -> Networks:
    """Fewer networks: one for model servers and the agents that call them, one around each environment.

    An environment shares its network with its agents and with the model servers that it calls itself. Calls between
    environments, and with the nodes of Ray, have networks of their own.
    """
    around = _around_environments(services, calls, config)
    apart = {service.name for service in services if _is_environment(service, config)}
    shared = [name for name in _model_members(services, calls, config) if name not in apart]
    covered = {frozenset(pair) for group in (shared, *around) for pair in combinations(group, 2)}
    left = {name: {other for other in calls[name] if frozenset((name, other)) not in covered} for name in calls}
    placed = {name for group in (shared, *around) for name in group}
    rest = [group for group in groups(left) if len(group) > 1 or group[0] not in placed]
    models: Networks = {MODELS_NETWORK: [*_hubs(services), *shared]}
    return {**models, **_named([*around, *rest], services, stack), **_egress(services, calls)}


def _around_environments(services: Sequence[ServicePlan], calls: Neighbours, config: Config) -> list[list[str]]:
    """For each environment its services, its agents, and the model servers that it calls."""
    members: dict[str, list[str]] = {}
    for service in services:
        if _is_environment(service, config):
            members.setdefault(service.server, []).append(service.name)
    apart = {name for names in members.values() for name in names}
    apart |= {service.name for service in services if service.kind == "ray"}
    return [
        [*names, *(name for name in calls if name not in apart and not calls[name].isdisjoint(names))]
        for names in members.values()
    ]


def _zones(services: Sequence[ServicePlan], calls: Neighbours, config: Config) -> Networks:
    """Three networks: of agents and environments, of model servers and their callers, and for outbound access."""
    models = {service.name for service in services if _is_model(service, config)}
    hubs = _hubs(services)
    return {
        SERVERS_NETWORK: [*hubs, *(name for name in calls if name not in models)],
        MODELS_NETWORK: [*hubs, *_model_members(services, calls, config)],
        EGRESS_NETWORK: [service.name for service in services if service.egress],
    }


def _model_members(services: Sequence[ServicePlan], calls: Neighbours, config: Config) -> list[str]:
    """Model servers and all that call them."""
    models = {service.name for service in services if _is_model(service, config)}
    return [name for name in calls if name in models or not calls[name].isdisjoint(models)]


def _is_environment(service: ServicePlan, config: Config) -> bool:
    server = config.servers.get(service.server)
    return server is not None and server.kind in (ServerKind.RESOURCES, ServerKind.ENVIRONMENT)


def _is_model(service: ServicePlan, config: Config) -> bool:
    server = config.servers.get(service.server)
    return service.kind == "vllm" or (server is not None and server.kind is ServerKind.MODEL)
