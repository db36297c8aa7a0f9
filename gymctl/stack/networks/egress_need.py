"""Which services of a stack need outbound access."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from gymctl.config import Config, ServerInstance, ServerKind
from gymctl.config.blocks.server_fields import ServerFields
from gymctl.config.nested import texts
from gymctl.stack.images import ImageChoice
from gymctl.stack.runtime import Runtime, Runtimes
from gymctl.stack.service import ServicePlan
from gymctl.stack.slices.host_gateway import called_hosts

_CALLS_OUTSIDE = frozenset({"google_search"})  # bundled servers that call addresses which no setting names
_OFFLINE = ("HF_HUB_OFFLINE", "1")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class EgressNeed:
    """Which services call addresses outside of their stack, or publish a port."""

    config: Config
    runtimes: Runtimes
    choice: ImageChoice
    ray_users: Collection[ServerInstance]
    """Servers that use a Ray cluster outside of the stack."""
    hosts: Collection[str]
    """The services of the stack, by the names under which they are called."""

    def of(self, service: ServicePlan) -> bool:
        """Whether a service needs outbound access.

        ``egress`` of a server decides; one with a list of hosts has a proxy for them instead. Without it: an address in
        the server's settings, this machine's included, and code that may call others: NeMo Gym's, and a model server of
        the user's without an address in its settings.
        """
        server = self.config.servers.get(service.server)
        if server is not None and server.container is not None and server.container.egress is not None:
            return server.container.egress is True or bool(service.published)
        if self.config.membership is not None or service.published or service.extra_hosts:
            return True
        if server is None:
            return service.kind == "vllm" and _OFFLINE not in service.environment
        if self.runtimes.of(server.name) is Runtime.NEMO_GYM or server.implementation in _CALLS_OUTSIDE:
            return True
        return server in self.ray_users or self._calls_outside(server)

    def _calls_outside(self, server: ServerInstance) -> bool:
        """Whether a server's settings name an address outside, or may leave one out: code of the user's for a model."""
        called = (self.config.servers.get(reference.name) for reference in server.references)
        if any(other is not None and other.at for other in called):
            return True
        hosts = named_hosts(server)
        if server.kind is ServerKind.MODEL and not hosts:
            return not self.choice.is_bundled(server)
        return any(self._is_outside(host, server) for host in hosts)

    def _is_outside(self, host: str, server: ServerInstance) -> bool:
        """Whether a host is neither a service of the stack nor on one of the server's further networks."""
        if host in {name.lower() for name in self.hosts}:
            return False
        is_on_own_network = bool(server.container and server.container.networks) and _IDENTIFIER.fullmatch(host)
        return not is_on_own_network


def named_hosts(server: ServerInstance) -> set[str]:
    """The hosts that a server's own settings and its environment name, in lower case."""
    settings = {key: value for key, value in server.fields.items() if key not in ServerFields.model_fields}
    environment = server.container.environment if server.container else {}
    named = (*texts(settings), *texts(environment))
    return {host for key, text in named for host in called_hosts(key.lower(), text)}
