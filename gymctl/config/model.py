"""What a configuration means: servers, references, the head. Everything downstream reads these types, never YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from gymctl.config.findings import Note
from gymctl.config.includes import MergeOrder
from gymctl.config.locations import KeyPath, Location, Origins
from gymctl.config.placement import Placement, Placements, ResourceLimits
from gymctl.config.ray import RayBlock
from gymctl.config.vllm import VllmBlock


class ServerKind(StrEnum):
    """The three kinds of named servers; the value is the key that marks them in YAML and the folder they live in."""

    MODEL = "responses_api_models"
    AGENT = "responses_api_agents"
    RESOURCES = "resources_servers"


class Role(StrEnum):
    """What a machine is to a stack on several machines; ``ALL``: the stack is on this one alone."""

    ALL = "all"
    COORDINATOR = "coordinator"
    WORKER = "worker"
    HEAD = "head"


HEAD_PORT = 11000
MOST_REPLICAS = 100  # of one server: as many addresses as Docker's DNS tells in one answer over UDP
NODE_PORT = 11001  # of the server that registers a worker with the head; only its own container's
# What servers are told besides: the node server's own entry, and the servers of other machines (name -> kind).
NODE_KEY, REMOTE_KEY = "gymctl_node", "gymctl_remote"
HEAD_TOKEN = "GYMCTL_HEAD_TOKEN"  # noqa: S105 - the name of a secret
RUNTIMES = ("gymctl", "nemo-gym")  # what a server may be said to run on; otherwise where it was found decides

# Top-level keys with a meaning of their own, 0.1 to main (global_config.py); any other key may hold anything.
RESERVED_KEYS = frozenset(
    "config_paths entrypoint default_host head_server disallowed_ports head_server_deps python_version "
    "pip_install_verbose use_absolute_ip uv_pip_set_python skip_venv_if_present hf_token ray_head_node_address "
    "port_range_low port_range_high dry_run uv_cache_dir uv_venv_dir model_endpoint_readiness_timeout_seconds "
    "_inherit_from _copy nemo_gym_log_dir verbose json query observability_enabled model_call_capture_dir "
    "component_name allow_openai_version_skew results_dir cache_dir token_id_capture skip_verification "
    "skip_verification_reward error_on_almost_servers".split()
) | {"ray", "gymctl", "silence", "runtime", "placement", "vllm"}
# Those of them that were free to be a server's name, and still are: with a kind key below it, it is a server.
BLOCK_KEYS = frozenset({"vllm", "ray"})

# Fields that any server may have besides those that its implementation reads: NeMo Gym's own, and gymctl's.
SERVER_KEYS = frozenset(
    "entrypoint host port num_workers domain name datasets description verified verified_url value "
    "runtime slice replicas placement resources needs_ray".split()
)
# Those of them that may stand beside the kind key as well.
OUTER_KEYS = frozenset({"replicas", "placement", "resources", "needs_ray"})


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
    runtime: str | None = None  # one of RUNTIMES, when it or the whole stack says so
    placement: Placement | None = None  # its own and the stack's, merged
    limits: ResourceLimits | None = None  # its ``resources:``
    needs_ray: bool = False
    replicas: int = 1

    @property
    def path(self) -> tuple[str, str, str]:
        """The key path of its inner mapping."""
        return (self.name, self.kind.value, self.implementation)


@dataclass(frozen=True)
class Head:
    """The head server's address as configured; ``host`` is None where the configuration leaves it open."""

    host: str | None = None
    port: int = HEAD_PORT


@dataclass(frozen=True)
class Membership:
    """A machine's part in a stack on several: its role, and what the command line says of it.

    ``token`` is what workers show to the head. ``node`` is this machine's name on the head's list, ``advertise`` the
    address under which others reach those of its servers that name none.
    """

    role: Role
    token: str = field(repr=False)
    node: str
    advertise: str | None = None


@dataclass(frozen=True)
class Config:
    """A complete configuration: merged, resolved, checked.

    ``values`` are the resolved top-level entries that are no servers; ``secrets`` maps environment names to values
    that must never be written down; ``notes`` are lines the user should read once, ``advice`` the same with their
    codes. ``remote`` are servers that references name and other machines have; ``membership`` is set for such a stack.
    """

    servers: Mapping[str, ServerInstance]
    head: Head
    values: Mapping[str, Any]
    secrets: Mapping[str, str]
    bundled: Path
    roots: tuple[Path, ...] = ()
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origins: Origins = field(default_factory=Origins)
    resolved: Mapping[str, Any] = field(default_factory=dict)
    advice: tuple[Note, ...] = ()
    merge_order: MergeOrder = MergeOrder.INCLUDES_LAST
    placements: Placements = field(default_factory=Placements)
    remote: Mapping[str, ServerKind] = field(default_factory=dict)
    membership: Membership | None = None
    vllm: Mapping[str, VllmBlock] = field(default_factory=dict)  # by name; '' is the name of a single one
    ray: RayBlock | None = None

    @property
    def is_worker(self) -> bool:
        """Whether the head of this stack is another machine's."""
        return self.membership is not None and self.membership.role is Role.WORKER

    @property
    def agent_names(self) -> tuple[str, ...]:
        """The names of the agents, in order."""
        return tuple(name for name, server in self.servers.items() if server.kind is ServerKind.AGENT)
