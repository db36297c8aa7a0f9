"""Servers of which several run side by side: who finds the replicas by itself, and where a proxy must do it.

gymctl's servers and its collector know all replicas of a name and keep a session where it is (``server.replicas``); so
their peers need nothing. NeMo Gym's take the first address and know nothing of replicas: as callers they get a proxy
that has the server's name, and as those called too, since their sessions do not say where they live.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gymctl.config import Config, ServerInstance, ServerKind
from gymctl.config.blocks.hop_tokens import ACCEPTS, OPEN_PATHS, TOKEN_HEADER, secret_name
from gymctl.config.vocabulary import REPLICA_SUFFIX
from gymctl.config.wording import listing
from gymctl.errors import Problem
from gymctl.stack.addons.haproxy import HEALTH_PORT, TOKENS_PORT, ProxyTarget, render_proxy
from gymctl.stack.compose.fragments import fragment
from gymctl.stack.images import ImageChoice
from gymctl.stack.placement import node_placement
from gymctl.stack.runtime import Runtime, Runtimes
from gymctl.stack.service import REPLICA_KIND, ServicePlan

COOKIE = "gymctl-replica"

_HEAD = "clients know it by a single address"
_PUBLISHED = "it is published on a port on this machine, which only one container can use"
_PROXY = "NeMo Gym needs a proxy for replicas: set `replicas: 2` (or more) in the configuration, then run gymctl up"


class Replication:
    """The servers of a configuration that are behind a proxy."""

    def __init__(self, config: Config, runtimes: Runtimes) -> None:
        self._config = config
        self._runtimes = runtimes
        callers = (server for server in config.started.values() if runtimes.of(server.name) is Runtime.NEMO_GYM)
        self._own_ports = {HEALTH_PORT: "'s health check"}
        if config.tokens:
            self._own_ports[TOKENS_PORT] = " for new tokens"
        self._called_by_gym = {reference.name for server in callers for reference in server.references}

    def _is_guarded(self, server: ServerInstance) -> bool:
        """Whether a proxy checks the tokens of calls, since the server does not."""
        return self._config.tokens and self._runtimes.of(server.name) is Runtime.NEMO_GYM

    def _wants_proxy(self, server: ServerInstance) -> bool:
        """NeMo Gym's agents keep nothing between requests, so that those who know all replicas may call any."""
        if self._is_guarded(server):
            return True
        keeps = self._runtimes.of(server.name) is Runtime.NEMO_GYM and server.kind is not ServerKind.AGENT
        return keeps or server.name in self._called_by_gym

    def problems(self) -> Iterator[Problem]:
        """Ports that the proxies need."""
        for server in self._config.started.values():
            is_single = server.replicas == 1 and not self._is_guarded(server)
            if is_single or not self._wants_proxy(server):
                continue
            where = self._where(server)
            taken = f"{server.name}{REPLICA_SUFFIX}"
            if server.replicas == 1 and taken in self._config.servers:
                problem = f"{taken}: this is the name of the containers behind the proxy of {server.name}"
                yield Problem(where, problem, "choose another name")
            if server.port in self._own_ports:
                problem = f"{server.name}: port {server.port} is used by its proxy{self._own_ports[server.port]}"
                yield Problem(where, problem, "choose another port")

    def published(self, services: Sequence[ServicePlan]) -> Iterator[Problem]:
        """Servers of several replicas that would share a port of the machine."""
        for service in services:
            server = self._config.servers.get(service.server)
            if server is not None and service.published and server.replicas > 1:
                problem = f"{server.name} cannot have {server.replicas} replicas: {_PUBLISHED}"
                yield Problem(
                    self._where(server), problem, "run more instances on other machines, or under other names"
                )

    def _where(self, server: ServerInstance) -> str:
        return str(self._config.origins.of((*server.path, "replicas")) or server.location or "")

    def apply(self, services: list[ServicePlan], choice: ImageChoice) -> list[ServicePlan]:
        """The services with the proxies among them, and with the reason where there can be but one."""
        return [planned for service in services for planned in self._planned(service, choice)]

    def _planned(self, service: ServicePlan, choice: ImageChoice) -> Iterator[ServicePlan]:
        server = self._config.servers.get(service.server)
        if server is None:
            if service.kind == "head":
                yield replace(service, single=_HEAD)
            else:
                yield replace(service, single=service.single or "it is not a server")
        elif service.published:
            yield replace(service, single=_PUBLISHED)
        elif not self._wants_proxy(server):
            yield service
        elif service.replicas == 1 and not self._is_guarded(server):
            yield replace(service, single=_PROXY)
        else:
            yield self._proxy(server, service, choice)
            yield replace(service, name=service.name + REPLICA_SUFFIX, kind=REPLICA_KIND)

    def _proxy(self, server: ServerInstance, service: ServicePlan, choice: ImageChoice) -> ServicePlan:
        """The proxy under the server's name: for its callers, and for whoever looks for it, it is the server."""
        return ServicePlan(
            name=service.name,
            server=server.name,
            kind=server.kind,
            implementation="proxy",
            image=choice.addon("proxy"),
            port=service.port,
            environment=(("GYMCTL_PROXY", proxy_configuration(service, server.kind, has_tokens=self._config.tokens)),),
            placement=node_placement(self._config.placements.of("addons")),
            fragment=fragment("proxy"),
            single=f"it is a proxy; its replicas are {server.name}{REPLICA_SUFFIX}",
        )

    def notes(self) -> Iterator[str]:
        """Who got a proxy, and why."""
        started = self._config.started.values()
        guarded = [server.name for server in started if self._is_guarded(server)]
        if guarded:
            yield f"a proxy checks the tokens of calls to {listing(guarded)}, since NeMo Gym does not"
        names = [
            server.name
            for server in started
            if server.replicas > 1 and self._wants_proxy(server) and server.name not in guarded
        ]
        if names:
            yield (
                f"a proxy is added in front of {listing(names)}, since NeMo Gym does not support replicas "
                f"(they are named NAME{REPLICA_SUFFIX})"
            )


def proxy_configuration(service: ServicePlan, kind: ServerKind, *, has_tokens: bool = False) -> str:
    """HAProxy's configuration for the replicas of ``service``, a server of ``kind``, which others call by its name.

    With ``has_tokens`` it answers only calls with a token of the server.
    """
    tokens = f"/run/secrets/{secret_name(service.name)}" if has_tokens else ""
    target = ProxyTarget.of(kind, server=service.name, service=service.name + REPLICA_SUFFIX, port=service.port)
    names = {"accepts": ACCEPTS, "open_paths": OPEN_PATHS, "header": TOKEN_HEADER}
    return render_proxy("haproxy.cfg.j2", COOKIE, target=target, tokens=tokens, **names)
