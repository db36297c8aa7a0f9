"""From a configuration to the services of a stack: the image, address, slice and secrets of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from gymctl.config import Config, ServerInstance, ServerKind, SliceMode
from gymctl.config.vocabulary import EVERY_INTERFACE, HEAD_NAME, LOOPBACK, LOOPBACK_HOSTS, NODE_PORT, base_url
from gymctl.config.wording import listing
from gymctl.errors import ConfigError, Problem
from gymctl.stack.addons.nemo_gym import NemoGym
from gymctl.stack.addons.ray import RayCheck, RayCluster
from gymctl.stack.addons.replica_proxy import Replication
from gymctl.stack.addons.vllm import HUB_TOKEN, gpu_notes, vllm_stack
from gymctl.stack.container import container_problems, with_container, with_start_period
from gymctl.stack.egress import Egress
from gymctl.stack.images import ImageChoice, ImagePlan
from gymctl.stack.placement import node_placement, resource_bounds
from gymctl.stack.plan_checks import HEAD_SERVICE, plan_problems, size_problems
from gymctl.stack.runtime import Runtime, Runtimes
from gymctl.stack.service import ServicePlan
from gymctl.stack.slices.host_gateway import GATEWAY, extra_hosts
from gymctl.stack.slices.interpolation import dump_slice
from gymctl.stack.slices.slices import Address, Slice, Slices, head_slice, reachable_from
from gymctl.stack.worker_nodes import Machines

SERVICES_ROOT = "/opt/gymctl/services"
DEFAULT_PORTS = {ServerKind.RESOURCES: 8080, ServerKind.AGENT: 8081, ServerKind.MODEL: 8000}


@dataclass(frozen=True)
class StackOptions:
    """What the caller may choose. ``nofile`` must not be above what the daemon allows."""

    version: str
    nofile: int = 65535
    slice_mode: SliceMode = SliceMode.CLOSURE
    image_prefix: str = "gymctl"
    publish_host: str = LOOPBACK
    gym_version: str | None = None  # of nemo-gym on PyPI; None: a checkout beside the servers, else a tested one
    gym_root: Path | None = None  # a NeMo Gym checkout
    bounded_logs: bool = True
    """Whether logs get a limit; not where the daemon's log driver is another than json-file or local."""
    start_seconds: float = 0.0
    """The least time that health checks give every service to start, as with ``--timeout``."""
    hub_token: str = field(default="", repr=False)
    """Token of the Hugging Face hub from the environment, used where the configuration has none."""
    egress: Egress = field(default_factory=Egress)
    machine_names: tuple[str, ...] = ()
    """Names of this machine, which its own resolver may know from its hosts file only."""
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


def plan_stack(config: Config, *, name: str, options: StackOptions) -> StackPlan:
    """Plan one service for each server, and the head.

    Raises:
        ConfigError: a name cannot be a service's, a server's folder was not found, two servers claim one address, or a
            slice is too large for an environment variable.
    """
    planning = _Planning(config, name, options)
    problems = list(planning.problems())
    if problems:
        raise ConfigError(problems)
    services = planning.services()
    problems = [problem for service in services for problem in size_problems(service, config, options.slice_mode)]
    problems += planning.replication.published(services)
    if problems:
        raise ConfigError(problems)
    return StackPlan(
        name,
        services,
        planning.choice.images,
        planning.secrets,
        (*planning.notes(), *gpu_notes(services)),
        options,
        config.membership.role.value if config.membership else "",
        base_url(config.head.host or "", config.head.port) if config.is_worker else "",
        tuple(planning.ray_checks()),
    )


class _Planning:
    """The parts that a stack's plan is made of: what runs where on what, with which slice, beside which add-ons."""

    def __init__(self, config: Config, name: str, options: StackOptions) -> None:
        self._config, self._name, self._options = config, name, options
        self._runtimes = runtimes = Runtimes(config, version=options.gym_version, root=options.gym_root)
        self._addresses = container_addresses(config)
        self._machines = Machines(config, self._addresses)
        if self._machines.head:
            self._addresses = {**self._addresses, HEAD_NAME: self._machines.head}
        self.replication = Replication(config, runtimes)
        self._gym = NemoGym(config, runtimes)
        self._ray = RayCluster(config, runtimes, self._gym)
        self.choice = ImageChoice(config, runtimes, stack=name, prefix=options.image_prefix, version=options.version)
        self.secrets: dict[str, str] = {}
        self._images: dict[str, str] = {}
        self._rerouted: dict[tuple[str, ...], list[str]] = {}

    def problems(self) -> Iterator[Problem]:
        """What keeps the configuration from being a stack."""
        yield from plan_problems(self._config, self._name, self._runtimes)
        yield from self._machines.problems(self._runtimes)
        yield from self.replication.problems()
        yield from self._ray.problems()
        yield from container_problems(self._config)

    def services(self) -> tuple[ServicePlan, ...]:
        """The head (or a worker's node), Ray, the servers, the other add-ons."""
        config, choice = self._config, self.choice
        first = self._first()
        servers = list(self._servers())
        self._images = {service.name: service.image for service in servers}
        ray = self._ray.services(choice, self._images)
        vllm = vllm_stack(config, choice, self._options.hub_token)
        self.secrets |= {**self._machines.secrets, **vllm.secrets}
        placed = [self._placed(service) for service in (first, *ray, *servers, *vllm.services)]
        taken = {name for service in placed for name in service.secrets}
        self.secrets |= {name: value for name, value in self._options.egress.secrets.items() if name in taken}
        return tuple(self.replication.apply(placed, choice))

    def _placed(self, service: ServicePlan) -> ServicePlan:
        """A service with its way to the outside; an add-on without a placement goes where the configuration says."""
        servers = self._config.servers
        peers = (HEAD_SERVICE, *reachable_from(servers, service.name)) if service.name in servers else ()
        service = with_start_period(self._options.egress.adapt(service, peers), self._options.start_seconds)
        if service.kind == "head" or service.name in servers or service.placement is not None:
            return service
        return replace(service, placement=node_placement(self._config.placements.of("addons")))

    def ray_checks(self) -> Iterator[RayCheck]:
        """What to see of a Ray cluster of the user's before its users start; asked when services are planned."""
        return self._ray.checks(self.choice, self._images)

    def _first(self) -> ServicePlan:
        if self._machines.is_worker:
            return self._machines.node(self.choice.shared(), f"{SERVICES_ROOT}/node", NODE_PORT)
        seen = self._ray.seen_by_clients(self._config)
        return _head(seen, self._addresses, self.choice, self._options, self._machines)

    def _servers(self) -> Iterator[ServicePlan]:
        added = _merged(self._gym.added, self._machines.added(), self._ray.added())
        slices = Slices(self._config, self._addresses, self._options.slice_mode, GATEWAY, added=added)
        self.secrets |= slices.secrets
        names = [name for name in self._options.machine_names if name not in self._config.servers]
        for server in self._config.servers.values():
            view = slices.of(server.name)
            self._rerouted.setdefault(view.rerouted, []).append(server.name)
            image = self._ray.image(server, self.choice)
            service = _service(server, self._addresses[server.name].port, view, image, names)
            service = self._ray.adapt(replace(service, published=self._machines.published(server)))
            is_gym = self._runtimes.of(server.name) is Runtime.NEMO_GYM
            yield self._gym.adapt(service) if is_gym else service

    def notes(self) -> Iterator[str]:
        """What the user should know of the stack; asked when its services are planned."""
        yield from _notes(self._rerouted)
        yield from _head_notes(self._config, self._options)
        for part in (self._gym, self._ray, self._machines, self.replication):
            yield from part.notes()
        yield from self._options.egress.notes()
        if HUB_TOKEN in self.secrets:
            yield f"vllm services use the hub's token in {HUB_TOKEN}, since the configuration has no hf_token"


def _merged(*added: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What slices get on top of the configuration's, server by server, from all who add something."""
    whole: dict[str, dict[str, Any]] = {}
    for part in added:
        for name, values in part.items():
            whole[name] = {**whole.get(name, {}), **values}
    return whole


def container_addresses(config: Config) -> dict[str, Address]:
    """Every server under its service name, bound to all interfaces of its container; ``head_server`` too.

    Containers have an address each, so that the same port serves many; a ``host`` in the configuration is not used.
    """
    addresses = {
        name: Address(name, server.port or DEFAULT_PORTS[server.kind]) for name, server in config.servers.items()
    }
    return {HEAD_NAME: Address(HEAD_SERVICE, config.head.port), **addresses}


def _head(
    config: Config,
    addresses: Mapping[str, Address],
    choice: ImageChoice,
    options: StackOptions,
    machines: Machines,
) -> ServicePlan:
    port, data = config.head.port, head_slice(config, addresses)
    head = ServicePlan(
        name=HEAD_SERVICE,
        kind="head",
        implementation="head",
        image=choice.shared(),
        port=port,
        slice_text=dump_slice(data),
        config_path=HEAD_NAME,
        command=("python", "app.py"),
        working_dir=f"{SERVICES_ROOT}/head",
        published=((options.publish_host, port, port),),
        placement=node_placement(config.placements.of("head")),
    )
    return machines.with_token(head, data)


def _service(server: ServerInstance, port: int, view: Slice, image: str, machine_names: Sequence[str]) -> ServicePlan:
    planned = ServicePlan(
        name=server.name,
        kind=server.kind,
        implementation=server.implementation,
        image=image,
        port=port,
        slice_text=view.text,
        config_path=server.name,
        command=("python", server.entrypoint),
        working_dir=f"{SERVICES_ROOT}/{server.kind.value}/{server.implementation}",
        secrets=view.secrets,
        extra_hosts=extra_hosts(view.texts, machine_names),
        placement=node_placement(server.placement),
        bounds=resource_bounds(server.limits),
        replicas=server.replicas,
    )
    return with_container(planned, server.container, machine_names)


def _notes(rerouted: Mapping[tuple[str, ...], list[str]]) -> Iterator[str]:
    """One note for all the servers that name localhost in the same fields."""
    for fields, names in rerouted.items():
        if fields:
            yield (
                f"{listing(names)}: {', '.join(fields)} names localhost, which inside a container is the container "
                f"itself; {GATEWAY} (this machine) takes its place. What listens there must accept connections from "
                f"Docker's bridge, not only from {LOOPBACK}"
            )


def _head_notes(config: Config, options: StackOptions) -> Iterator[str]:
    """The configuration asks for a head that other machines reach, and this one publishes it for its own machine."""
    key = "head_server.host" if config.head.host else "default_host"
    wanted = config.head.host or config.values.get("default_host")
    if config.membership is None and wanted and wanted not in LOOPBACK_HOSTS and options.publish_host in LOOPBACK_HOSTS:
        yield (
            f"{key} is {wanted}, but the head is published on {options.publish_host}:{config.head.port}, "
            "for this machine only; --publish ADDRESS opens it to others"
        )
