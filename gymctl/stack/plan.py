"""From a configuration to the services of a stack: the image, address, slice and secrets of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from gymctl.config import Config, SliceMode
from gymctl.config.exposure import Exposure
from gymctl.config.vocabulary import EVERY_INTERFACE, HEAD_NAME, LOOPBACK, NODE_PORT, base_url
from gymctl.errors import Problem
from gymctl.stack.addons.egress_proxy import EgressLists
from gymctl.stack.addons.nemo_gym import NemoGym
from gymctl.stack.addons.observers import observers
from gymctl.stack.addons.policy_watch import PolicyWatchers, watching_models
from gymctl.stack.addons.ray import RayCheck, RayCluster
from gymctl.stack.addons.replica_proxy import Replication
from gymctl.stack.addons.tls_edge import EdgeIdentity, StackEdge, stack_edge
from gymctl.stack.addons.vllm import HUB_TOKEN, gpu_notes, vllm_stack
from gymctl.stack.addresses import container_addresses
from gymctl.stack.container import container_problems, with_stack_logging, with_start_period
from gymctl.stack.egress import Egress
from gymctl.stack.images import ImageChoice, ImagePlan
from gymctl.stack.networks.egress_need import EgressNeed
from gymctl.stack.networks.membership import network_notes, with_networks
from gymctl.stack.placement import node_placement
from gymctl.stack.plan_checks import plan_problems, raise_any, size_problems
from gymctl.stack.runtime import Runtime, Runtimes
from gymctl.stack.server_services import SERVICES_ROOT, head_notes, head_service, server_service
from gymctl.stack.service import ServicePlan
from gymctl.stack.service_names import HEAD_SERVICE
from gymctl.stack.slices.host_gateway import GATEWAY, gateway_notes
from gymctl.stack.slices.slices import Address, Slices, reachable_from
from gymctl.stack.worker_nodes import Machines


@dataclass(frozen=True)
class StackOptions:
    """What the caller may choose. ``nofile`` must not be above what the daemon allows."""

    version: str
    nofile: int = 65535
    slice_mode: SliceMode = SliceMode.CLOSURE
    image_prefix: str = "gymctl"
    publish_host: str = LOOPBACK
    gym_version: str | None = None  # of nemo-gym on PyPI; None: the checkout of the servers, or a tested version
    gym_root: Path | None = None  # a NeMo Gym checkout
    bounded_logs: bool = True
    """Whether logs get a limit; not where the daemon's log driver is another than json-file or local."""
    start_seconds: float = 0.0
    """The least time that health checks give every service to start, as with ``--timeout``."""
    hub_token: str = field(default="", repr=False)
    """Token of the Hugging Face hub from the environment, used where the configuration has none."""
    policy_token: str = field(default="", repr=False)
    """What callers of the head must show to replace the endpoints of model servers; empty: none can be replaced."""
    exposure: Exposure = field(default_factory=Exposure)
    """The servers that clients outside of the stack may call at ``publish_host``."""
    edge: EdgeIdentity | None = field(default=None, repr=False)
    """The token and the certificate of a configuration's `edge`."""
    egress: Egress = field(default_factory=Egress)
    machine_names: tuple[str, ...] = ()
    """Names of this machine, which its own resolver may know from its hosts file only."""
    is_probed: bool = False
    """Whether the endpoints of model servers are tried once the stack is up, which reports about localhost itself."""
    is_swarm: bool = False
    """Whether names of services must leave room for the stack's name before them."""
    restart: Literal["no", "always", "on-failure", "unless-stopped"] = "unless-stopped"


@dataclass(frozen=True)
class StackPlan:
    """A whole stack, the head first. ``secrets`` maps environment names to the values that containers get."""

    name: str
    services: tuple[ServicePlan, ...]
    images: tuple[ImagePlan, ...]
    secrets: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]
    options: StackOptions
    role: str = ""  # this machine's in a stack on several
    head_elsewhere: str = ""  # a worker's: the base URL of the coordinator's head
    ray_checks: tuple[RayCheck, ...] = ()  # of a cluster that is not the stack's

    @property
    def head_url(self) -> str:
        """The base URL of the head as this machine reaches it."""
        head = next((service for service in self.services if service.kind == "head"), None)
        if head is None:
            return self.head_elsewhere
        host, port, _ = head.published[0]
        return base_url(LOOPBACK if host in ("", EVERY_INTERFACE) else host, port)

    def with_images(self, names: Mapping[str, str]) -> StackPlan:
        """The same plan with its images as they were built: ``names`` has the name of each by its tag."""
        return replace(
            self,
            services=tuple(replace(item, image=names.get(item.image, item.image)) for item in self.services),
            images=tuple(replace(item, tag=names.get(item.tag, item.tag)) for item in self.images),
            ray_checks=tuple(replace(item, image=names.get(item.image, item.image)) for item in self.ray_checks),
        )


@dataclass(frozen=True)
class _Parts:
    """What a plan is made with: the configuration, what its servers run on, the add-ons next to them."""

    config: Config
    options: StackOptions
    runtimes: Runtimes
    addresses: Mapping[str, Address]
    """Of every server and of the head, as containers dial them."""
    machines: Machines
    replication: Replication
    gym: NemoGym
    ray: RayCluster
    choice: ImageChoice
    watchers: PolicyWatchers
    edge: StackEdge
    lists: EgressLists


@dataclass(frozen=True)
class _Servers:
    """The planned services of the configuration's servers."""

    services: tuple[ServicePlan, ...]
    secrets: Mapping[str, str]
    """What their slices refer to: environment name and value."""
    rerouted: Mapping[tuple[str, ...], list[str]]
    """Servers by their fields whose localhost became the host's gateway."""

    @property
    def images(self) -> dict[str, str]:
        """The image of each server."""
        return {service.server: service.image for service in self.services}


def plan_stack(config: Config, *, name: str, options: StackOptions) -> StackPlan:
    """Plan one service for each server, and the head.

    Raises:
        ConfigError: a name cannot be a service's, a server's folder was not found, two servers claim one address, or a
            slice is too large for an environment variable.
    """
    parts = _parts(config, name, options)
    raise_any(_configuration_problems(parts, name))
    first = _first(parts)  # its image comes first: jobs run in it
    servers = _plan_servers(parts)
    services, secrets = _plan_services(parts, first, servers, name)
    raise_any(_service_problems(parts, services))
    return StackPlan(
        name=name,
        services=services,
        images=parts.choice.images,
        secrets=secrets,
        notes=(*_plan_notes(parts, servers, secrets), *gpu_notes(services), *network_notes(services)),
        options=options,
        role=config.membership.role.value if config.membership else "",
        head_elsewhere=base_url(config.head.host or "", config.head.port) if config.is_worker else "",
        ray_checks=tuple(parts.ray.checks(parts.choice, servers.images)),
    )


def _parts(config: Config, name: str, options: StackOptions) -> _Parts:
    runtimes = Runtimes(config, version=options.gym_version, root=options.gym_root)
    addresses = container_addresses(config, name if options.is_swarm else "")
    machines = Machines(config, addresses)
    if machines.head:
        addresses = {**addresses, HEAD_NAME: machines.head}
    gym = NemoGym(config, runtimes)
    choice = ImageChoice(config, runtimes, stack=name, prefix=options.image_prefix, version=options.version)
    return _Parts(
        config=config,
        options=options,
        runtimes=runtimes,
        addresses=addresses,
        machines=machines,
        replication=Replication(config, runtimes),
        gym=gym,
        ray=RayCluster(config, runtimes, gym),
        choice=choice,
        watchers=PolicyWatchers(config, runtimes, options.policy_token),
        edge=stack_edge(config, addresses, options.exposure, options.publish_host, options.edge),
        lists=EgressLists(config, addresses, choice, options.egress, name),
    )


def _configuration_problems(parts: _Parts, name: str) -> Iterator[Problem]:
    """What keeps the configuration from being a stack."""
    yield from plan_problems(parts.config, name, parts.runtimes)
    yield from parts.machines.problems(parts.runtimes)
    for part in (parts.replication, parts.edge, parts.ray, parts.lists):
        yield from part.problems()
    yield from container_problems(parts.config)


def _service_problems(parts: _Parts, services: Sequence[ServicePlan]) -> Iterator[Problem]:
    """What is wrong with the planned services."""
    for service in services:
        yield from size_problems(service, parts.config, parts.options.slice_mode)
    yield from parts.replication.published(services)


def _plan_services(
    parts: _Parts, first: ServicePlan, servers: _Servers, stack: str
) -> tuple[tuple[ServicePlan, ...], dict[str, str]]:
    """All services in their order, and their secrets: the head (or a worker's node), Ray, the servers, vLLM."""
    ray = parts.ray.services(parts.choice, servers.images)
    vllm = vllm_stack(parts.config, parts.choice, parts.options.hub_token)
    planned = (first, *ray, *servers.services, *vllm.services, *parts.edge.services(parts.choice))
    names = tuple(service.name for service in planned)
    users = parts.ray.outside_users
    need = EgressNeed(parts.config, runtimes=parts.runtimes, choice=parts.choice, ray_users=users, hosts=names)
    services = parts.lists.apply([_placed(parts, service, need) for service in planned])
    used = {name for service in services for name in service.secrets}
    egress = {name: value for name, value in parts.options.egress.secrets.items() if name in used}
    own = {**parts.machines.secrets, **parts.watchers.secrets, **parts.edge.secrets}
    secrets = {**servers.secrets, **own, **vllm.secrets, **egress}
    replicated = parts.replication.apply(services, parts.choice)
    watching = observers(parts.config, parts.choice, replicated)
    joined = with_networks((*replicated, *watching.services), parts.config, stack)
    return with_stack_logging(joined, parts.config), {**secrets, **watching.secrets}


def _placed(parts: _Parts, service: ServicePlan, need: EgressNeed) -> ServicePlan:
    """A service with its access to the outside; an add-on without a placement gets the configuration's."""
    servers = parts.config.servers
    peers: tuple[str, ...] = ()
    if service.server in servers:
        reachable = reachable_from(servers, service.server)
        peers = (HEAD_SERVICE, *(parts.addresses[name].host for name in reachable))
    service = replace(service, egress=need.of(service))
    if service.egress:
        service = parts.options.egress.adapt(service, peers)
    service = with_start_period(service, parts.options.start_seconds)
    if service.kind == "head" or service.server in servers or service.placement is not None:
        return service
    return replace(service, placement=node_placement(parts.config.placements.of("addons")))


def _first(parts: _Parts) -> ServicePlan:
    """The head, or on a worker the node that registers it with another machine's."""
    if parts.machines.is_worker:
        return parts.machines.node(parts.choice.shared(), f"{SERVICES_ROOT}/node", NODE_PORT)
    return head_service(
        parts.ray.seen_by_clients(parts.config),
        parts.addresses,
        parts.choice,
        parts.options.publish_host,
        parts.machines,
        parts.watchers,
        parts.edge,
        parts.gym,
    )


def _plan_servers(parts: _Parts) -> _Servers:
    """One service for each server of the configuration."""
    config = parts.config
    added = _merged(parts.gym.added, parts.machines.added(), parts.ray.added(), parts.watchers.added())
    theirs = [server.name for server in parts.runtimes.nemo_gym]
    slices = Slices(config, parts.addresses, parts.options.slice_mode, GATEWAY, added=added, unmodified=theirs)
    taken = {address.host for address in parts.addresses.values()}
    hosts = [name for name in parts.options.machine_names if name not in taken]
    services: list[ServicePlan] = []
    rerouted: dict[tuple[str, ...], list[str]] = {}
    for server in config.started.values():
        view = slices.of(server.name)
        rerouted.setdefault(view.rerouted, []).append(server.name)
        image = parts.ray.image(server, parts.choice)
        service = parts.watchers.adapt(server_service(server, parts.addresses[server.name], view, image, hosts))
        service = parts.ray.adapt(replace(service, published=parts.machines.published(server)))
        if parts.runtimes.of(server.name) is Runtime.NEMO_GYM:
            service = parts.gym.adapt(service)
        services.append(service)
    return _Servers(services=tuple(services), secrets=dict(slices.secrets), rerouted=rerouted)


def _plan_notes(parts: _Parts, servers: _Servers, secrets: Mapping[str, str]) -> Iterator[str]:
    """What the user should know of the stack."""
    probed = watching_models(parts.config, parts.runtimes) if parts.options.is_probed else ()
    yield from gateway_notes(servers.rerouted, probed)
    yield from head_notes(parts.config, parts.options.publish_host)
    for part in (parts.gym, parts.ray, parts.machines, parts.replication, parts.edge, parts.lists):
        yield from part.notes()
    yield from parts.options.egress.notes()
    if HUB_TOKEN in secrets:
        yield f"vllm services use the Hugging Face token from {HUB_TOKEN}; the configuration has no hf_token"


def _merged(*added: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What slices get on top of the configuration's, server by server, from all who add something."""
    whole: dict[str, dict[str, Any]] = {}
    for part in added:
        for name, values in part.items():
            whole[name] = {**whole.get(name, {}), **values}
    return whole
