"""What a configuration means: servers, references, the head. Everything downstream reads these types, never YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gymctl.config.blocks.container_settings import ContainerSettings
from gymctl.config.blocks.edge import EdgeKeys
from gymctl.config.blocks.log_shipping import LogsKeys
from gymctl.config.blocks.observation import ObserveKeys
from gymctl.config.blocks.placement import Placement, Placements, ResourceLimits
from gymctl.config.blocks.ray import RayBlock
from gymctl.config.blocks.telemetry import TelemetryKeys
from gymctl.config.choices import MergeOrder
from gymctl.config.diagnostics import KeyPath, Location, Note, Origins
from gymctl.config.vllm.served_model import VllmBlock
from gymctl.config.vocabulary import HEAD_PORT, Role, ServerKind


@dataclass(frozen=True)
class Reference:
    """A ``{type, name}`` mapping inside a server's fields that points at another server."""

    path: KeyPath
    kind: ServerKind
    name: str


@dataclass(frozen=True)
class ServerInstance:
    """One named server. ``fields`` is its whole resolved inner mapping (host and port too, when given)."""

    name: str
    kind: ServerKind
    implementation: str
    entrypoint: str
    host: str | None
    port: int | None
    fields: Mapping[str, Any]
    references: tuple[Reference, ...]
    num_workers: int | None
    location: Location | None
    folder: Path | None = None  # where its entrypoint was found; None when under no search root
    runtime: str | None = None  # one of RUNTIMES, if set for it or for the whole stack
    placement: Placement | None = None  # its own and the stack's, merged
    limits: ResourceLimits | None = None  # its ``resources:``
    needs_ray: bool = False
    replicas: int = 1
    at: str | None = None
    """Base URL of the server where it runs already; None: it is started."""
    container: ContainerSettings | None = None
    """What its container gets in addition to the server."""
    own_fields: frozenset[str] = frozenset()
    """Fields named like one of gymctl's that its own code reads, as something else."""

    @property
    def path(self) -> tuple[str, str, str]:
        """The key path of its inner mapping."""
        return (self.name, self.kind.value, self.implementation)

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The endpoints of a model server; empty where it has none, or its key has another name."""
        urls = self.fields.get("base_url") or ()
        if isinstance(urls, str):
            return (urls,)
        return tuple(str(url) for url in urls)


@dataclass(frozen=True)
class Head:
    """The head server's address as configured; ``host`` is None where the configuration leaves it open."""

    host: str | None = None
    port: int = HEAD_PORT


@dataclass(frozen=True)
class Membership:
    """A machine's part in a stack on several machines: its role and the options about it.

    ``token`` is what workers show to the head. ``node`` is this machine's name on the head's list, ``advertise`` the
    address under which others reach those of its servers that name none.
    """

    role: Role
    token: str = field(repr=False)
    node: str
    advertise: str | None = None


@dataclass(frozen=True)
class ConfigSource:
    """What a configuration was loaded from: enough to load it again in another process."""

    arguments: tuple[str, ...] = ()
    """Files and overrides as they were given; an override may hold a secret."""
    directory: Path = Path()
    """Where relative paths and ``env.yaml`` were looked for."""
    gym_root: Path | None = None
    """The NeMo Gym checkout whose configurations were found."""


@dataclass(frozen=True)
class Config:
    """A complete configuration: merged, resolved, checked."""

    servers: Mapping[str, ServerInstance]
    head: Head
    values: Mapping[str, Any]
    """Resolved top-level entries other than servers."""
    secrets: Mapping[str, str]
    """Environment name -> value; the values must never be written down."""
    bundled: Path
    """Folder of the bundled services."""
    roots: tuple[Path, ...] = ()
    """Folders that were searched for configurations and servers, in order."""
    files: tuple[str, ...] = ()
    origins: Origins = field(default_factory=Origins)
    """The place that set each value."""
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """All top-level entries, with interpolations resolved."""
    advice: tuple[Note, ...] = ()
    merge_order: MergeOrder = MergeOrder.INCLUDES_LAST
    placements: Placements = field(default_factory=Placements)
    remote: Mapping[str, ServerKind] = field(default_factory=dict)
    """Servers that references name and other machines run."""
    membership: Membership | None = None
    """This machine's part; None for a stack on one machine."""
    vllm: Mapping[str, VllmBlock] = field(default_factory=dict)
    """By name; a single block has the name ''."""
    ray: RayBlock | None = None
    logs: LogsKeys | None = None
    """The log driver of containers; None: the default."""
    observe: ObserveKeys | None = None
    """What is measured, and what watches it; None: nothing is."""
    telemetry: TelemetryKeys | None = None
    """Traces of rollouts; None: there are none."""
    edge: EdgeKeys | None = None
    """The published port with TLS; None: there is not one."""
    tokens: bool = False
    """Whether each server requires a token of calls."""
    source: ConfigSource = field(default_factory=ConfigSource)

    @property
    def notes(self) -> tuple[str, ...]:
        """``advice`` as lines for the user."""
        return tuple(str(note) for note in self.advice)

    @property
    def is_worker(self) -> bool:
        """Whether the head of this stack is another machine's."""
        return self.membership is not None and self.membership.role is Role.WORKER

    @property
    def started(self) -> dict[str, ServerInstance]:
        """The servers that a stack starts: all but those that run elsewhere already."""
        return {name: server for name, server in self.servers.items() if server.at is None}

    @property
    def agent_names(self) -> tuple[str, ...]:
        """The names of the agents, in order."""
        return tuple(name for name, server in self.servers.items() if server.kind is ServerKind.AGENT)
