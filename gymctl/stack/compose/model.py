"""The Compose document as types: the part of the specification that gymctl writes. ``x-`` keys are allowed.

Field order is the order in the rendered file. Values follow the specification's long forms; durations and sizes are
text (``10s``, ``2gb``), which ``rules`` checks.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Part(BaseModel):
    """A part of the document."""

    model_config = ConfigDict(extra="allow", validate_assignment=False)

    @model_validator(mode="after")
    def _only_extensions(self) -> Self:
        unknown = [key for key in self.model_extra or {} if not key.startswith("x-")]
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r} in {type(self).__name__}; extensions begin with x-")
        return self

    def plain(self) -> dict[str, Any]:
        """Plain data without what is not set."""
        return self.model_dump(mode="json", exclude_none=True)


class Port(Part):
    """A published port, long form."""

    target: int
    published: str | int | None = None
    host_ip: str | None = None
    protocol: Literal["tcp", "udp"] | None = None
    mode: Literal["host", "ingress"] | None = None


class Healthcheck(Part):
    """How an engine finds out whether a container works."""

    test: list[str] | None = None
    start_period: str | None = None
    start_interval: str | None = None
    interval: str | None = None
    timeout: str | None = None
    retries: int | None = None
    disable: bool | None = None


class Dependency(Part):
    """What must have happened to another service before this one starts."""

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"] = "service_started"
    restart: bool | None = None
    required: bool | None = None


class Limit(Part):
    """A ulimit."""

    soft: int
    hard: int


class Tmpfs(Part):
    """Options of a mount in memory; ``size`` in bytes or as text (``2gb``)."""

    size: int | str | None = None
    mode: int | None = None


class Mount(Part):
    """A volume, long form."""

    type: Literal["volume", "bind", "tmpfs"]
    source: str | None = None
    target: str
    read_only: bool | None = None
    tmpfs: Tmpfs | None = None


class Device(Part):
    """Devices to reserve: ``count`` of them, or those in ``device_ids``."""

    capabilities: list[str]
    driver: str | None = None
    count: int | Literal["all"] | None = None
    device_ids: list[str] | None = None
    options: dict[str, str] | None = None


class DiscreteResource(Part):
    """A number of a node's own resources, such as ``NVIDIA-GPU``."""

    kind: str
    value: int


class GenericResource(Part):
    """How Swarm names GPUs."""

    discrete_resource_spec: DiscreteResource


class Resources(Part):
    """Limits or reservations."""

    cpus: str | None = None
    memory: str | None = None
    pids: int | None = None
    devices: list[Device] | None = None
    generic_resources: list[GenericResource] | None = None


class ResourceBounds(Part):
    """At most, and at least."""

    limits: Resources | None = None
    reservations: Resources | None = None

    def devices(self) -> Sequence[Device]:
        """The devices that are reserved."""
        if self.reservations is None:
            return ()
        return self.reservations.devices or ()


class Preference(Part):
    """How Swarm spreads tasks."""

    spread: str


class DeployPlacement(Part):
    """Which nodes a service may run on."""

    constraints: list[str] | None = None
    preferences: list[Preference] | None = None
    max_replicas_per_node: int | None = None


class UpdatePolicy(Part):
    """How tasks are replaced."""

    parallelism: int | None = None
    delay: str | None = None
    failure_action: Literal["continue", "rollback", "pause"] | None = None
    monitor: str | None = None
    max_failure_ratio: float | None = None
    order: Literal["stop-first", "start-first"] | None = None


class RestartPolicy(Part):
    """When and how often a task is started again."""

    condition: Literal["none", "on-failure", "any"] | None = None
    delay: str | None = None
    max_attempts: int | None = None
    window: str | None = None


class Deploy(Part):
    """Replicas, resources, placement."""

    mode: str | None = None
    replicas: int | None = None
    endpoint_mode: Literal["vip", "dnsrr"] | None = None
    labels: dict[str, str] | None = None
    resources: ResourceBounds | None = None
    placement: DeployPlacement | None = None
    update_config: UpdatePolicy | None = None
    rollback_config: UpdatePolicy | None = None
    restart_policy: RestartPolicy | None = None


class Logging(Part):
    """Logging of a container's output."""

    driver: str | None = None
    options: dict[str, str] | None = None


class FileMount(Part):
    """A secret or config in a container, long form; Docker grants ``mode`` in Swarm only."""

    source: str
    target: str | None = None
    uid: str | None = None
    gid: str | None = None
    mode: int | None = None


class NetworkAttachment(Part):
    """A service on a network."""

    aliases: list[str] | None = None


class Service(Part):
    """One container, or several of the same."""

    image: str
    pull_policy: Literal["always", "never", "missing", "build"] | None = None
    profiles: list[str] | None = None
    entrypoint: list[str] | None = None
    command: list[str] | None = None
    working_dir: str | None = None
    user: str | None = None
    environment: dict[str, str] | None = None
    secrets: list[str | FileMount] | None = None
    configs: list[str | FileMount] | None = None
    ports: list[Port] | None = None
    networks: dict[str, NetworkAttachment | None] | None = None
    extra_hosts: list[str] | None = None
    depends_on: dict[str, Dependency] | None = None
    healthcheck: Healthcheck | None = None
    init: bool | None = None
    restart: str | None = None
    stop_grace_period: str | None = None
    stop_signal: str | None = None
    read_only: bool | None = None
    tmpfs: list[str] | None = None
    volumes: list[str | Mount] | None = None
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    security_opt: list[str] | None = None
    ulimits: dict[str, Limit | int] | None = None
    shm_size: str | None = None
    ipc: str | None = None
    cpu_shares: int | None = None
    deploy: Deploy | None = None
    logging: Logging | None = None
    labels: dict[str, str] | None = None


INHIBIT_ADDRESS = "com.docker.network.bridge.inhibit_ipv4"
"""Option of a bridge without an address of the machine."""


class Network(Part):
    """A network of the stack, or one that exists already (``external``)."""

    name: str | None = None
    driver: str | None = None
    attachable: bool | None = None
    internal: bool | None = None
    external: bool | None = None
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class Volume(Part):
    """A named volume."""

    name: str | None = None
    driver: str | None = None
    external: bool | None = None
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class StoredFile(Part):
    """A secret or a config: from a file, written out here (configs only), or one that exists already."""

    file: str | None = None
    content: str | None = None
    name: str | None = None
    external: bool | None = None
    labels: dict[str, str] | None = None


class ComposeDocument(Part):
    """A whole Compose file."""

    name: str | None = None
    services: dict[str, Service] = Field(default_factory=dict)
    networks: dict[str, Network | None] | None = None
    volumes: dict[str, Volume | None] | None = None
    secrets: dict[str, StoredFile] | None = None
    configs: dict[str, StoredFile] | None = None

    def plain(self) -> dict[str, Any]:
        """Plain data without what is not set; a network or volume with nothing to say stays, as an empty mapping."""
        data = super().plain()
        for key in ("networks", "volumes"):
            declared = getattr(self, key)
            if declared is not None:
                data[key] = {name: data[key].get(name) or {} for name in declared}
        for name, service in self.services.items():
            if service.networks is not None:
                attached = data["services"][name]["networks"]
                data["services"][name]["networks"] = {net: attached.get(net) or {} for net in service.networks}
        return data
