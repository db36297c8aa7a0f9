"""What an audit looks at: containers, networks and secrets, whether of a file or of a running stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gymctl.config import ServerKind
from gymctl.config.blocks.hop_tokens import SECRET_PREFIX
from gymctl.config.vocabulary import EDGE_CERTIFICATE, EDGE_TOKEN

HEAD = "head"
MODELS = frozenset({ServerKind.MODEL.value, "vllm"})
_SERVERS = frozenset({HEAD, *(kind.value for kind in ServerKind)})
ENVIRONMENTS = frozenset({ServerKind.RESOURCES.value, ServerKind.ENVIRONMENT.value})


@dataclass(frozen=True)
class AuditedPort:
    """A published port."""

    host: str
    """Address of this machine; empty: every one."""
    published: int
    """Port of this machine; 0: Docker chooses it."""
    target: int


@dataclass(frozen=True)
class AuditedMount:
    """A bind mount, a volume or a file system in memory."""

    type: str
    source: str
    target: str
    is_writable: bool
    propagation: str = ""
    size: str = ""
    """Most bytes of one in memory, as text; empty: no limit."""


@dataclass(frozen=True)
class AuditedNetwork:
    """A network that containers of the stack are on."""

    name: str
    is_internal: bool = False
    """Whether it has no route to other addresses."""
    has_host_address: bool = True
    """Whether the machine itself has an address on it."""
    is_external: bool = False
    """Whether it is not the stack's own."""
    driver: str = ""
    is_encrypted: bool = False


@dataclass(frozen=True)
class AuditedContainer:
    """The containers of one service, which are equal."""

    # what it is

    service: str
    kind: str
    """A ``ServerKind``, ``head``, ``ray``, ``vllm``, ...; empty: not one of gymctl's."""
    server: str
    """The server of the configuration; for others the service's name."""
    image: str
    pull_policy: str | None
    """None: not known."""
    user: str | None
    """None: the image's, which is not known."""
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    slice: Mapping[str, Any] = field(repr=False)
    """The part of the configuration that it gets."""
    secrets: tuple[str, ...]

    # what it may do

    is_privileged: bool
    is_read_only: bool
    added_capabilities: frozenset[str]
    dropped_capabilities: frozenset[str]
    security_options: tuple[str, ...]
    namespaces: Mapping[str, str]
    """Mode of ``pid``, ``ipc``, ``network``, ``uts``, ``userns`` and ``cgroup`` where it is not Docker's default."""
    devices: tuple[str, ...]
    sysctls: tuple[str, ...]
    mounts: tuple[AuditedMount, ...]

    # its limits

    limits: frozenset[str]
    """Which of ``memory``, ``cpus``, ``pids``, ``nofile`` and ``logs`` are limited."""
    is_oom_killable: bool
    log_driver: str

    # how it is reached, and what it reaches

    ports: tuple[AuditedPort, ...]
    networks: tuple[str, ...]
    extra_hosts: tuple[str, ...]

    # how it runs

    has_healthcheck: bool
    completes: bool
    """Whether it ends by itself."""
    has_init: bool
    restart: str

    @property
    def is_of_gymctl(self) -> bool:
        """Whether gymctl planned it."""
        return bool(self.kind)

    @property
    def is_tls_edge(self) -> bool:
        """Whether it is the proxy of an ``edge``: its port needs TLS and a token."""
        return self.kind == "edge" and {EDGE_TOKEN, EDGE_CERTIFICATE} <= set(self.secrets)

    @property
    def requires_token(self) -> bool:
        """Whether it is a server that accepts only calls with its token."""
        return self.is_server and any(name.startswith(SECRET_PREFIX) for name in self.secrets)

    @property
    def is_server(self) -> bool:
        """Whether it runs a server of the configuration, or the head."""
        return self.kind in _SERVERS

    @property
    def is_built(self) -> bool:
        """Whether gymctl builds its image; the one of vLLM on GPUs is its maker's."""
        return self.is_of_gymctl and self.pull_policy in (None, "never")


@dataclass(frozen=True)
class AuditedStack:
    """Everything of a stack that an audit looks at."""

    name: str
    containers: tuple[AuditedContainer, ...]
    networks: Mapping[str, AuditedNetwork]
    secret_files: Mapping[str, Path] = field(default_factory=dict)
    """Where the values of secrets are on this machine."""
    base_image: str = ""
    """The base image of gymctl's images; empty: the default."""
    requires_package_lock: bool = False
    """Whether a build fails rather than install a package without a hash from the lock file."""

    def networks_of(self, container: AuditedContainer) -> list[AuditedNetwork]:
        """The networks that a container is on."""
        return [self.networks[name] for name in container.networks if name in self.networks]

    def has_way_out(self, container: AuditedContainer) -> bool:
        """Whether a container can call addresses outside of the stack."""
        return any(not network.is_internal for network in self.networks_of(container))
