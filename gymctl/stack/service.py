"""One service of a stack, planned: a server's container or an add-on's, or several of the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gymctl.config.vocabulary import REPLICA_SUFFIX
from gymctl.stack.compose.model import DeployPlacement, Device, Logging, Mount, ResourceBounds, Service

REPLICA_KIND = "replica"
"""Of the service that holds the replicas of a server behind a proxy."""
PROXY_IMPLEMENTATION = "proxy"
"""Of a service that runs HAProxy."""
PROMETHEUS_KIND = "prometheus"
ALERTMANAGER_KIND = "alertmanager"
"""Kinds of the services that watch a stack."""
EGRESS_KIND = "egress"
EGRESS_IMPLEMENTATION = "egress-proxy"
"""Of the proxy of a server with a list of hosts."""


@dataclass(frozen=True)
class ServicePlan:
    """One service of a stack."""

    # what it is

    name: str
    kind: str
    """A ``ServerKind``, ``head``, ``replica`` (behind a proxy), or what the add-on is: ``ray``, ``vllm``, ..."""
    implementation: str
    image: str
    port: int
    """The port on which it listens inside the stack's network."""
    slice_text: str = ""
    """The part of the configuration that it gets, as YAML; empty: an add-on, not a server."""
    config_path: str = ""
    """The value of NEMO_GYM_CONFIG_PATH; empty: an add-on, not a server."""
    command: tuple[str, ...] = ()
    """Empty: the image's own."""
    working_dir: str = ""
    """Empty: the image's own."""
    server: str = ""
    """The server of the configuration that it is, is a replica of, or stands in front of; empty: none."""
    used_by: tuple[str, ...] = ()
    """The servers that an add-on is there for."""
    fragment: Service | None = None
    """An add-on's own definition; the plan's settings override it."""

    # what its process gets

    secrets: tuple[str, ...] = ()
    """Names of the secrets that it can read."""
    environment: tuple[tuple[str, str], ...] = ()
    volumes: tuple[Mount, ...] = ()
    writable: bool = False
    """Whether its containers may write outside of ``/tmp``: to what their user owns in the image, each to a copy."""

    # how it is reached

    published: tuple[tuple[str, int, int], ...] = ()
    """Host address, host port and container port of each."""
    published_for: tuple[str, ...] = ()
    """Whose each published port is, in the same order; empty: its own."""
    extra_hosts: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    """Existing networks, in addition to the stack's own."""
    stack_networks: tuple[str, ...] = ()
    """Networks of the stack that it joins; empty: the default one."""
    egress: bool = False
    """Whether it has outbound access."""
    egress_proxy: str = ""
    """The service through which it reaches the hosts of its list; empty: it has no list."""

    # how it starts and ends

    needs: tuple[str, ...] = ()
    """Services that must be healthy first."""
    probe: tuple[str, ...] = ()
    """The health check's command; empty: the ready file of gymctl's own servers."""
    start_period: str = "180s"
    completes: bool = False
    """Whether it ends by itself, with code 0, before those that need it start."""
    tries: int = 1
    """How often it may begin until it is healthy."""

    # how many there are, where, and with what

    replicas: int = 1
    workers: int = 1
    """Processes of each replica that serve its requests together."""
    single: str = ""
    """Why it can have no more than one replica; empty: it can."""
    placement: DeployPlacement | None = None
    bounds: ResourceBounds | None = None
    """Limits and reservations of each replica; GPUs are reserved here."""
    shm_size: str | None = None
    tmp_size: str | None = None
    """Size of its ``/tmp``, such as ``4gb``; None: the default of its kind."""
    logging: Logging | None = None
    """Logging of its output; None: the stack's default."""

    @property
    def devices(self) -> Sequence[Device]:
        """The devices that each replica reserves: GPUs."""
        return self.bounds.devices() if self.bounds else ()

    @property
    def publications(self) -> Iterator[tuple[str, int, str]]:
        """Host address and host port of each published port, and the name of the server that is reached there."""
        owners = self.published_for or (self.name,) * len(self.published)
        for (host, port, _), owner in zip(self.published, owners, strict=True):
            yield host, port, owner

    @property
    def title(self) -> str:
        """The name that users have for it: the server's, which need not be a valid host name."""
        if self.server and self.kind == REPLICA_KIND:
            return f"{self.server}{REPLICA_SUFFIX}"
        return self.server or self.name

    @property
    def address(self) -> str:
        """The base URL inside the stack's network."""
        return f"http://{self.name}:{self.port}"
