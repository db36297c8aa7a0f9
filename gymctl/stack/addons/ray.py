"""The stack's Ray cluster: who uses it, its head and its nodes, and the image that they share with its users.

A server of gymctl's kit runs its checks on Ray where there is a cluster, and in processes of its own where there is
none. So it uses one when the configuration has a ``ray:`` block or names a cluster, or when the server says that it
cannot do without (``needs_ray: true``). Servers of NeMo Gym that call Ray always do (``nemo_gym``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from gymctl.config import Config, ServerInstance
from gymctl.config.blocks.ray import CLIENT_ADDRESS, NEEDS_KEY, RayBlock
from gymctl.config.diagnostics import Location
from gymctl.config.sizes import size_in_bytes
from gymctl.config.vocabulary import LOOPBACK, RAY_ADDRESS_KEY, RAY_CLIENT_PORT, RAY_DASHBOARD_PORT
from gymctl.errors import Problem
from gymctl.stack.addons.nemo_gym import RAY_ADDRESS, NemoGym
from gymctl.stack.compose.fragments import fragment
from gymctl.stack.compose.model import ResourceBounds, Resources
from gymctl.stack.images import ImageChoice
from gymctl.stack.placement import node_placement
from gymctl.stack.runtime import Runtime, Runtimes, uses_work
from gymctl.stack.service import ServicePlan
from gymctl.stack.service_names import RAY_SERVICE
from gymctl.stack.slices.host_gateway import EXTRA_HOST, GATEWAY, reroute_address

WORKER_SERVICE = "ray-worker"
CODE = "/opt/gymctl"  # in the image: gymctl itself, on Python's path
# `ray start` gives a node 30 s, which no option changes: a busy machine may need longer, and a failed start is repeated
_TRIES = 4


@dataclass(frozen=True)
class RayCheck:
    """A check to make before servers start: their image and a cluster must have the same Ray and Python."""

    image: str
    servers: tuple[str, ...]
    """The servers that use the cluster from this image."""
    host: str
    port: int
    """Host and port of the cluster, as a container reaches it."""
    written_address: str
    """The address as the configuration has it."""
    extra_hosts: tuple[str, ...] = ()
    is_nemo_gym: bool = False
    location: Location | None = None


class RayCluster:
    """The services of a configuration's Ray cluster; none if it is not used."""

    def __init__(self, config: Config, runtimes: Runtimes, gym: NemoGym) -> None:
        self._config = config
        self._runtimes = runtimes
        self._gym = gym
        self._configured_address = str(config.values.get(RAY_ADDRESS_KEY) or "")
        needing = [server for server in config.started.values() if server.needs_ray]
        is_requested = config.ray is not None or bool(needing)
        self.users = tuple(self._find_users(needing)) if is_requested or self._configured_address else ()
        self.is_ours = not self._configured_address and (is_requested or bool(gym.ray_users))
        moved = reroute_address(self._configured_address, GATEWAY)
        self._moved = moved is not None
        self.address = moved or self._configured_address or RAY_ADDRESS

    @cached_property
    def block(self) -> RayBlock:
        """The cluster's settings; a head alone where the configuration has no block."""
        return self._config.ray or RayBlock(workers=0, dashboard=False)

    def _find_users(self, needing: Sequence[ServerInstance]) -> Iterator[ServerInstance]:
        """Servers of gymctl's kit that need Ray, or distribute work if there is a cluster."""
        for server in self._config.started.values():
            if self._runtimes.of(server.name) is Runtime.GYMCTL and (server in needing or self._uses(server)):
                yield server

    def _uses(self, server: ServerInstance) -> bool:
        folder = self._runtimes.folder(server)
        return folder is not None and uses_work(folder)

    def problems(self) -> Iterator[Problem]:
        """Servers that one cluster cannot serve together."""
        if self.is_ours and self.users and self._gym.ray_users:
            ours = self.users[0]
            theirs = self._gym.ray_users[0]
            problem = (
                f"{ours.name} (gymctl) and {theirs.name} (NeMo Gym) cannot share one Ray "
                "cluster, which has a single image"
            )
            hint = f"without `ray` and `{NEEDS_KEY}` {ours.name} runs checks in subprocesses; or use a cluster"
            hint += f" that has the packages of both: {RAY_ADDRESS_KEY}"
            yield Problem(str(ours.location or ""), problem, hint)

        if self._configured_address and self.users and not CLIENT_ADDRESS.fullmatch(self._configured_address):
            problem = f"{RAY_ADDRESS_KEY} is {self._configured_address}, which only nodes of that cluster can use"
            yield Problem(
                str(self._location or ""), problem, f"use ray://HOST:{RAY_CLIENT_PORT}, the port for Ray clients"
            )

    @property
    def _location(self) -> Location | None:
        return self._config.origins.of((RAY_ADDRESS_KEY,))

    def checks(self, choice: ImageChoice, images: Mapping[str, str]) -> Iterator[RayCheck]:
        """What to see of a cluster of the user's: for one image of the kit's users, and for NeMo Gym's base.

        All images of a kind have the same Ray and Python. ``images`` has the tags of the servers' by name.
        """
        match = CLIENT_ADDRESS.fullmatch(self.address)
        if not self._configured_address or match is None:
            return
        check = RayCheck(
            image="",
            servers=(),
            host=match["host"].strip("[]"),
            port=int(match["port"]),
            written_address=self._configured_address,
            extra_hosts=(EXTRA_HOST,) if self._moved else (),
            location=self._location,
        )
        if self.users:
            names = tuple(server.name for server in self.users)
            yield replace(check, image=images[names[0]], servers=names)
        if self._runtimes.nemo_gym:
            names = tuple(server.name for server in self._runtimes.nemo_gym)
            yield replace(check, image=choice.nemo_gym(), servers=names, is_nemo_gym=True)

    def seen_by_clients(self, config: Config) -> Config:
        """The configuration as the head shows it: with the address of the stack's Ray, as NeMo Gym's own head does."""
        if self.is_ours:
            return replace(config, values={**config.values, RAY_ADDRESS_KEY: RAY_ADDRESS})
        return config

    @property
    def outside_users(self) -> tuple[ServerInstance, ...]:
        """Users of a cluster outside of the stack."""
        if self._configured_address:
            return self.users
        return ()

    @property
    def requirements(self) -> tuple[str, ...]:
        """What the image of the kit's users has on top of theirs."""
        if self.users:
            return (self._package,)
        return ()

    @property
    def _package(self) -> str:
        return f"ray[default]=={self.block.version}"

    def added(self) -> Mapping[str, Mapping[str, Any]]:
        """What the users' slices get on top of the configuration's: server name -> globals."""
        return {server.name: {RAY_ADDRESS_KEY: self.address} for server in self.users}

    def image(self, server: ServerInstance, choice: ImageChoice) -> str:
        """The tag of a server's image; users of the cluster have its Ray in theirs."""
        if server not in self.users:
            return choice.of(server)
        if choice.is_bundled(server):
            return choice.ray(self.users, self.requirements)
        return choice.of(server, self.requirements)

    def adapt(self, service: ServicePlan) -> ServicePlan:
        """A planned server of the kit as one that uses the cluster; others as they are."""
        if service.server not in {server.name for server in self.users}:
            return service
        moved = (EXTRA_HOST,) if self._moved and EXTRA_HOST not in service.extra_hosts else ()
        return replace(
            service,
            needs=(*service.needs, RAY_SERVICE) if self.is_ours else service.needs,
            environment=(*service.environment, ("RAY_AUTH_MODE", "disabled")),
            extra_hosts=(*service.extra_hosts, *moved),
        )

    def services(self, choice: ImageChoice, images: Mapping[str, str]) -> Iterator[ServicePlan]:
        """The head, and the nodes; ``images`` has the tags of the servers' images by server name."""
        if not self.is_ours:
            return
        image, path = self._image(choice, images)
        yield self._head(image, path)
        if self.block.workers:
            yield self._workers(image, path)

    def _image(self, choice: ImageChoice, images: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
        """The nodes' image and Python's path in it: the only user's own, else one with what all of them need."""
        if self._gym.ray_users:
            of_users = {images[server.name] for server in self._gym.ray_users}
            return (of_users.pop() if len(of_users) == 1 else choice.nemo_gym()), self._gym.ray_path
        of_users = {images[server.name] for server in self.users}
        folders = tuple(f"{CODE}/services/{server.kind.value}/{server.implementation}" for server in self.users)
        image = of_users.pop() if len(of_users) == 1 else choice.ray(self.users, (self._package,))
        return image, (CODE, *folders)

    def _head(self, image: str, path: tuple[str, ...]) -> ServicePlan:
        block = self.block
        flags = f" --object-store-memory={size_in_bytes(block.object_store)}"
        flags += f" --include-dashboard={'true' if block.dashboard else 'false'}"
        if block.workers:  # the workers do the work
            flags += " --num-cpus=0"
        elif block.cpus:
            flags += f" --num-cpus={block.cpus}"
        dashboard = ((LOOPBACK, block.dashboard_port, RAY_DASHBOARD_PORT),) if block.dashboard_port else ()
        return self._node(RAY_SERVICE, "head", image, path, flags, published=dashboard, port=RAY_CLIENT_PORT)

    def _workers(self, image: str, path: tuple[str, ...]) -> ServicePlan:
        flags = f" --object-store-memory={size_in_bytes(self.block.object_store)}"
        flags += f" --num-cpus={self.block.cpus}" if self.block.cpus else ""
        nodes = self._node(WORKER_SERVICE, "worker", image, path, flags, port=6380)
        placement = node_placement(self._config.placements.of("addons", self.block.placement))
        return replace(nodes, needs=(RAY_SERVICE,), replicas=self.block.workers, placement=placement)

    def _node(
        self,
        name: str,
        purpose: str,
        image: str,
        path: tuple[str, ...],
        flags: str,
        *,
        port: int,
        published: tuple[tuple[str, int, int], ...] = (),
    ) -> ServicePlan:
        own = fragment(name)
        block = self.block
        *shell, script = own.command or []
        bounds = ResourceBounds(limits=Resources(memory=block.memory)) if block.memory else None
        return ServicePlan(
            name=name,
            kind="ray",
            implementation=purpose,
            image=image,
            port=port,
            command=(*shell, script + flags),
            working_dir="/tmp",  # noqa: S108 - the container's own
            published=published,
            start_period=(own.healthcheck and own.healthcheck.start_period) or "180s",
            environment=(*(own.environment or {}).items(), ("PYTHONPATH", ":".join(path))),
            shm_size=block.shm_size,
            bounds=bounds,
            used_by=tuple(server.name for server in (*self.users, *self._gym.ray_users)),
            tries=_TRIES,
            fragment=own,
        )

    def notes(self) -> Iterator[str]:
        """Who runs on Ray, and what that costs."""
        if not self.is_ours:
            return
        nodes = f"{RAY_SERVICE} and {self.block.workers} x {WORKER_SERVICE}" if self.block.workers else RAY_SERVICE
        users = [server.name for server in self.users] or [server.name for server in self._gym.ray_users]
        if not users:
            yield f"{nodes}: no server of this stack uses Ray; remove the ray block unless your own jobs need it"
        elif self.users:
            yield f"{nodes}: checks of {', '.join(users)} run there; memory: 0.8 GB for the head, 0.3 GB per node"
