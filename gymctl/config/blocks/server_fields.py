"""The fields that any server may have, whatever its code reads: NeMo Gym's own, and those of gymctl."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from gymctl.config.blocks.block import Block, Host, Must, OpenBlock, Port, PositiveCount, Text, choice, wrong
from gymctl.config.blocks.container_settings import ContainerSettings
from gymctl.config.blocks.placement import Placement, ResourceLimits
from gymctl.config.choices import SliceMode
from gymctl.config.upstream import DATASET_TYPES, DOMAINS, LICENSES
from gymctl.config.validation import is_host_name, is_port
from gymctl.config.vocabulary import MOST_REPLICAS, RUNTIMES, ServerKind

_SOURCE_KEYS = {"gitlab": ("dataset_name", "version", "artifact_fpath"), "huggingface": ("repo_id",)}
_IDENTIFIERS = ("gitlab_identifier", "huggingface_identifier")
_NEED_A_LICENSE = ("train", "validation")
PositiveSeconds = Annotated[float, Field(gt=0), Must("a number of seconds above 0")]


class ReferenceKeys(Block):
    """Another server, by kind and name."""

    type: Annotated[str, choice(*ServerKind)] = Field(description="Kind of the server.")
    name: Text = Field(description="Name of the server.")


class DatasetSource(OpenBlock):
    """Where a data set is downloaded from (NeMo Gym 0.4 and later)."""

    type: Literal["gitlab", "huggingface"] = Field(description="Type of the source.")
    dataset_name: Text | None = Field(None, description="Name on GitLab.")
    version: Any = Field(None, description="Version on GitLab.")
    artifact_fpath: Text | None = Field(None, description="File to download.")
    repo_id: Text | None = Field(None, description="Repository on the Hugging Face hub.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        needed = _SOURCE_KEYS[self.type]
        if missing := [key for key in needed if getattr(self, key) is None]:
            raise wrong(f"source lacks {', '.join(missing)}", f"a {self.type} source has {', '.join(needed)}", "type")
        return self


class Dataset(OpenBlock):
    """Rows of a server: one JSON object per line."""

    name: Text = Field(description="Name of the data set.")
    type: Annotated[str, choice(*DATASET_TYPES)] = Field(description="Purpose of its rows.")
    jsonl_fpath: Text = Field(description="File with its rows.")
    num_repeats: Annotated[int, Field(ge=1)] | None = Field(None, description="Number of rollouts per row.")
    license: Annotated[str, choice(*LICENSES)] | None = Field(
        None, description="License of the rows; required for train and validation."
    )
    source: DatasetSource | None = Field(None, description="Where NeMo Gym downloads it from.")
    gitlab_identifier: Any = Field(None, description="Where NeMo Gym downloads it from; the older form of `source`.")
    huggingface_identifier: Any = Field(
        None, description="Where NeMo Gym downloads it from; the older form of `source`."
    )
    prepare_script: Any = Field(None, description="Script that generates the rows of a benchmark.")
    agent: Text | None = Field(None, description="Agent that runs its rows, if several could (NeMo Gym 0.6).")
    taskset: Text | None = Field(None, description="Name of its tasks in `environment_server_routes` (NeMo Gym 0.7).")

    @model_validator(mode="before")
    @classmethod
    def _of_a_benchmark(cls, value: Any) -> Any:
        """NeMo Gym reads neither the license nor the source of a benchmark: its script gets the rows."""
        if not isinstance(value, Mapping) or value.get("type") != "benchmark":
            return value
        return {key: item for key, item in value.items() if key not in ("license", "source")}

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        title = f"dataset {self.name!r}"
        older = [key for key in _IDENTIFIERS if getattr(self, key) is not None]
        if self.type == "benchmark":
            if self.prepare_script is None:
                hint = "a benchmark needs a script that writes its jsonl_fpath"
                raise wrong(f"{title} is missing prepare_script", hint, "prepare_script")
        elif self.source is not None and older:
            raise wrong(f"{title} has both source and {older[0]}", "keep source, which is the newer form", "source")
        elif self.type in _NEED_A_LICENSE and self.license is None:
            raise wrong(f"{title} needs a license", "add `license:`, such as Apache 2.0 or TBD", "license")
        return self


_AT = "the address of a running server, such as http://gpu-1:8000, without a path"


_AT_URL = re.compile(r"http://(?P<host>[^/:@?#\[\]]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})/?")


def _server_address(value: str) -> str:
    match = _AT_URL.fullmatch(value)
    if match is None or not is_port(int(match["port"])):
        raise ValueError("not the address of a server")
    if not match["host"].startswith("[") and not is_host_name(match["host"]):
        raise ValueError("not a host name")
    return value.removesuffix("/")


class OuterFields(ContainerSettings):
    """Fields of a server that are also allowed next to its kind key."""

    at: Annotated[str, AfterValidator(_server_address), Must(_AT)] | None = Field(
        None,
        description="Address at which it already runs; gymctl does not start it, and others call that address.",
    )

    replicas: (
        Annotated[int, Field(ge=1, le=MOST_REPLICAS), Must(f"a number of replicas from 1 to {MOST_REPLICAS}")] | None
    ) = Field(None, description="Number of replicas.")
    placement: Placement | None = Field(None, description="Nodes that it may run on (Swarm).")
    resources: ResourceLimits | None = Field(None, description="Resource limits and reservations of each replica.")
    needs_ray: bool = Field(False, description="Whether it requires a Ray cluster.")


class ServerFields(OuterFields, OpenBlock):
    """Fields of any server; its own code may read more."""

    entrypoint: Annotated[str, Must("a file name such as app.py")] = Field(
        description="File to run, relative to its directory."
    )
    host: Host | None = Field(None, description="Address that other servers call; chosen by the engine by default.")
    port: Port | None = Field(
        None,
        description="Port that it listens on; by default 8000, 8080, 8081 or 8082 in a container, depending on its "
        "kind, and a free one with the local engine.",
    )
    num_workers: Annotated[int, Field(ge=1, le=1024), Must("a number of processes, at least 1")] | None = Field(
        None, description="Number of processes that serve its requests."
    )
    runtime: Annotated[str, choice(*RUNTIMES)] | None = Field(
        None,
        description="Code that runs it. By default the top-level `runtime`; otherwise gymctl, or nemo-gym for code of "
        "your own that imports `nemo_gym`.",
    )
    slice: Annotated[str, choice(*SliceMode), Must("closure (only what it can reach) or full (everything)")] | None = (
        Field(
            None,
            description="Configuration given to its container: only what it can reach through references (closure) or "
            "everything (full).",
        )
    )
    domain: Annotated[str, choice(*DOMAINS)] | None = Field(
        None, description="Domain that a resources server trains or tests; required."
    )
    datasets: list[Dataset] | None = Field(None, description="Its data sets.")
    name: Any = Field(None, description="Title of the environment (NeMo Gym).")
    description: Any = Field(None, description="Description of the environment (NeMo Gym).")
    verified: Any = Field(None, description="Whether it was verified by a training run (NeMo Gym).")
    verified_url: Any = Field(None, description="URL of the report of that run (NeMo Gym).")
    value: Any = Field(None, description="Capability that it improves (NeMo Gym).")


GYMCTL_FIELDS = frozenset({"runtime", "slice", *OuterFields.model_fields})
"""Fields of a server that only gymctl reads."""
PLACEMENT_FIELDS = frozenset({"runtime", "slice", "at", "replicas", "placement", "resources", "needs_ray"})
"""Those that say where and how it runs, and nothing about its container."""


class ModelServerFields(ServerFields):
    """Fields of a model server."""

    vllm: Any = Field(None, description="Name of the `vllm` block that it calls; `vllm` for the only one.")


class AgentServerFields(ServerFields):
    """Fields of an agent."""

    skip_verification: bool = Field(
        False,
        description="Whether rollouts end without a verdict; by default the key of the same name at the top level.",
    )
    skip_verification_reward: FiniteFloat = Field(0.0, description="Reward of a rollout without a verdict.")
    token_id_capture: Any = Field(
        None, description="Whether the token ids of its rollouts are recorded (NeMo Gym 0.7)."
    )


class ResourcesServerFields(ServerFields):
    """Fields of a resources server."""

    allowed_agents: Any = Field(None, description="Agents that it is known to score correctly (NeMo Gym 0.6).")
    allowed_model_types: Any = Field(None, description="Model servers that support its tasks (NeMo Gym 0.6).")
    expose_tools_over_mcp: Any = Field(None, description="Whether its tools can be called over MCP (NeMo Gym 0.6).")


class EnvironmentServerFields(ServerFields):
    """Fields of an environment server (NeMo Gym 0.7)."""

    agent_server: Any = Field(None, description="Agent that runs its rollouts.")
    resources_server: ReferenceKeys | None = Field(None, description="Resources server that judges them.")
    resources_tool_transports: (
        Annotated[list[Literal["direct_http", "mcp"]], Must("a list of direct_http and mcp")] | None
    ) = Field(None, description="How the agent calls the tools of the resources server.")
    max_concurrent_episodes: PositiveCount | None = Field(None, description="Maximum number of concurrent rollouts.")
    queue_timeout_seconds: PositiveSeconds | None = Field(
        None, description="Time limit for a rollout's wait, in seconds; required with `max_concurrent_episodes`."
    )
    default_episode_timeout_seconds: PositiveSeconds | None = Field(
        None, description="Time limit of one rollout, in seconds."
    )
    cleanup_timeout_seconds: PositiveSeconds | None = Field(
        None,
        description="Time limit for closing a rollout's sessions, in seconds; required except for `legacy_agent`.",
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.max_concurrent_episodes is not None and self.queue_timeout_seconds is None:
            hint = "add how many seconds a rollout may wait"
            raise wrong("max_concurrent_episodes needs queue_timeout_seconds", hint, "max_concurrent_episodes")
        return self


FIELDS_OF: dict[ServerKind, type[ServerFields]] = {
    ServerKind.MODEL: ModelServerFields,
    ServerKind.AGENT: AgentServerFields,
    ServerKind.RESOURCES: ResourcesServerFields,
    ServerKind.ENVIRONMENT: EnvironmentServerFields,
}
