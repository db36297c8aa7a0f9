"""The top-level keys of a configuration that are not servers: gymctl's blocks and the global values of NeMo Gym."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, FiniteFloat, WithJsonSchema, model_validator

from gymctl.config import upstream
from gymctl.config.blocks.block import Block, Host, HostName, Must, OpenBlock, Port, choice, wrong
from gymctl.config.blocks.edge import EdgeKeys
from gymctl.config.blocks.log_shipping import LogsKeys
from gymctl.config.blocks.observation import ObserveKeys
from gymctl.config.blocks.placement import Placements
from gymctl.config.blocks.ray import RayKeys
from gymctl.config.blocks.telemetry import TelemetryKeys
from gymctl.config.choices import LogFormat, MergeOrder
from gymctl.config.diagnostics import NoteCode
from gymctl.config.vllm.served_model import VllmKeys
from gymctl.config.vocabulary import HEAD_PORT, RAY_CLIENT_PORT, RUNTIMES

_DEFAULTS = upstream.DEFAULT.defaults
Codes = Annotated[
    Annotated[str, choice(*NoteCode)] | list[Annotated[str, choice(*NoteCode)]],
    Must(f"one of {', '.join(NoteCode)}, or a list of them"),
]
Paths = Annotated[list[str] | str, Must("a list of paths, such as [a.yaml, b.yaml]")]


class HeadKeys(OpenBlock):
    """The head server's address, and the token of its workers."""

    host: Host | None = Field(None, description="Address of the head server that servers and clients call.")
    port: Port = Field(HEAD_PORT, description="Port of the head server.")
    token: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(
        None,
        description="Token that workers send to register, with `--role`; by default `$GYMCTL_HEAD_TOKEN` or "
        "`.gymctl/head-token`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _has_one_address(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("replicas") not in (None, 1):
            raise wrong("cannot have replicas: clients know it by a single address", "remove it", "replicas")
        return value


class GymctlKeys(Block):
    """Settings of gymctl itself, which NeMo Gym ignores."""

    silence: Codes | None = Field(None, description="Codes of notes to suppress.")
    merge_order: Annotated[str, choice(*MergeOrder)] | None = Field(
        None, description="Precedence between an included file and the file that includes it."
    )


class GlobalKeys(OpenBlock):
    """The top-level keys that hold single values."""

    config_paths: Paths | None = Field(
        None, description="Additional files to load; by default this file overrides them."
    )
    silence: Codes | None = Field(None, description="The same as `gymctl.silence`, for the command line.")
    runtime: Annotated[str, choice(*RUNTIMES)] | None = Field(
        None, description="Default runtime of servers without a `runtime`."
    )
    ray_head_node_address: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(
        None, description=f"An existing Ray cluster, such as ray://HOST:{RAY_CLIENT_PORT}."
    )
    default_host: Host | None = Field(None, description="Host of servers without a `host`.")
    allowed_hosts: Annotated[list[HostName], Must("a list of host names, such as [gym.example.com]")] | None = Field(
        None, description="Additional host names under which servers accept requests, without scheme or port."
    )
    log_format: Annotated[str, choice(*LogFormat)] | None = Field(
        None, description="Format of the log lines of servers without a `log_format`; by default `text`."
    )
    use_absolute_ip: bool = Field(False, description="Whether NeMo Gym's servers use this machine's IP address.")
    port_range_low: Port = Field(_DEFAULTS["port_range_low"], description="Lowest port that the local engine chooses.")
    port_range_high: Port = Field(
        _DEFAULTS["port_range_high"], description="Highest port that the local engine chooses."
    )
    disallowed_ports: Annotated[list[Port], Must("a list of ports, such as [8080, 9090]")] = Field(
        [], description="Ports never assigned to a server."
    )
    error_on_almost_servers: bool = Field(
        True, description="Whether an incomplete server entry is an error; otherwise it is skipped with a note."
    )
    dry_run: bool = Field(False, description="NeMo Gym: prepare environments of servers and stop.")
    hf_token: Any = Field(None, description="Token of the Hugging Face hub, for weights and data sets.")
    nemo_gym_log_dir: Any = Field(None, description="NeMo Gym: directory for the logs of servers.")
    entrypoint: Any = Field(None, description="NeMo Gym: file that a command runs.")
    head_server_deps: Any = Field(None, description="NeMo Gym: packages to install for the head server.")
    python_version: Any = Field(None, description="NeMo Gym: Python version of server environments.")
    pip_install_verbose: Any = Field(None, description="NeMo Gym: print the progress of installations.")
    uv_pip_set_python: Any = Field(None, description="NeMo Gym: pass uv the Python version to install packages for.")
    uv_cache_dir: Any = Field(None, description="NeMo Gym: uv's cache.")
    uv_venv_dir: Any = Field(None, description="NeMo Gym: directory for the environments of servers.")
    skip_venv_if_present: Any = Field(None, description="NeMo Gym: reuse existing environments.")
    verbose: Any = Field(None, description="NeMo Gym: verbose output.")
    json_: Any = Field(None, alias="json", description="NeMo Gym: JSON output.")
    query: Any = Field(None, description="NeMo Gym: search query of a command.")
    results_dir: Any = Field(None, description="NeMo Gym: directory for results.")
    cache_dir: Any = Field(None, description="NeMo Gym: directory for caches.")
    inherit_from_: Any = Field(None, alias="_inherit_from", description="Move another part of the configuration here.")
    copy_: Any = Field(None, alias="_copy", description="Copy another part of the configuration here.")
    model_endpoint_readiness_timeout_seconds: Any = Field(
        None, description="NeMo Gym (0.5): seconds to wait for a model endpoint."
    )
    observability_enabled: Any = Field(None, description="NeMo Gym (0.5): enable observability of servers.")
    model_call_capture_dir: Any = Field(None, description="NeMo Gym (0.5): directory for recorded calls to models.")
    token_id_capture: Any = Field(None, description="NeMo Gym (0.7): whether token ids are recorded.")
    component_name: Any = Field(None, description="NeMo Gym (0.5): component name in records.")
    allow_openai_version_skew: Any = Field(None, description="NeMo Gym (0.6): accept a different openai version.")
    skip_verification: bool | None = Field(
        None, description="Default of `skip_verification` for agents that do not set it."
    )
    skip_verification_reward: FiniteFloat | None = Field(None, description="Reward of a rollout without a verdict.")
    agent_map: Annotated[dict[str, str], Must("a mapping of names in rows to agents")] | None = Field(
        None,
        description="Agent for each name in rows (`agent_ref` or `task_source`); `_default` is for all other rows.",
    )
    fan_out: Annotated[dict[str, list[str]], Must("a mapping of names in rows to lists of agents")] | None = Field(
        None, description="For each name in rows, the agents that each get the row."
    )
    environment_server_routes: Annotated[dict[str, str], Must("a mapping of tasksets to servers")] | None = Field(
        None, description="Environment server for each taskset, for tasks prepared by NeMo Gym 0.7."
    )
    allow_unsupported_pairing: Any = Field(
        None, description="NeMo Gym (0.7): whether a resources server accepts agents and models that it does not list."
    )
    server_spinup_timeout_seconds: Any = Field(None, description="NeMo Gym (0.7): how long it waits for servers.")
    uv_lock_timeout_seconds: Any = Field(None, description="NeMo Gym (0.7): how long uv waits for its lock.")
    environment_server_name: Any = Field(None, description="NeMo Gym (0.7): environment server that rows go to.")
    environment_routing_mode: Any = Field(None, description="NeMo Gym (0.7): how rows find an environment server.")

    @model_validator(mode="after")
    def _has_ports(self) -> Self:
        if self.port_range_low > self.port_range_high:
            if "port_range_low" in self.model_fields_set:
                key = "port_range_low"
            else:
                key = "port_range_high"
            message = f"the port range {self.port_range_low} to {self.port_range_high} is empty"
            raise wrong(message, "port_range_low must be less than port_range_high", key)
        return self


class StackKeys(GlobalKeys):
    """Top-level keys of a configuration other than servers: single values and blocks."""

    gymctl: GymctlKeys | None = Field(None, description="Settings of gymctl itself.")
    placement: Placements | None = Field(None, description="Nodes that all services, or a group of them, may run on.")
    vllm: Annotated[dict[str, VllmKeys] | VllmKeys, Must("a block, or a mapping of names to blocks")] | None = Field(
        None, description="A model served by the stack, or several by name."
    )
    edge: EdgeKeys | None = Field(None, description="One published port with TLS and a token for clients outside.")
    logs: LogsKeys | None = Field(None, description="Log driver of the stack's containers.")
    observe: Annotated[ObserveKeys | bool, Must("true, false, or a block")] = Field(
        False, description="Whether servers and the collector collect metrics for Prometheus and serve `/metrics`."
    )
    tokens: bool = Field(
        False, description="Whether each server rejects calls without its token, which only its callers get."
    )
    telemetry: TelemetryKeys | None = Field(None, description="Traces of rollouts.")
    ray: RayKeys | None = Field(None, description="The stack's own Ray cluster, for the checks of servers.")
    head_server: HeadKeys | None = Field(None, description="The head server's address and token.")
