"""What gymctl knows about NeMo Gym, and the release each fact was read from. A new release is a change of this file.

``RELEASES`` has one record for each release that was read, oldest first: what a wheel holds (reserved keys, literals,
defaults, servers that use Ray). A record of a new release is ``replace(RELEASES[-1], version=..., ...)`` with what
changed. A configuration may be of any release, so what is accepted is the union of all records. This module imports
nothing of gymctl and nothing heavy: servers read it too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Release:
    """The facts of one release of the package ``nemo-gym``."""

    version: str
    """On PyPI."""
    python: str
    """The oldest Python that its wheel accepts."""
    ray: str
    """The version of Ray that its lock file has: one cluster serves its servers and gymctl's."""
    reserved_keys: frozenset[str]
    """Top-level keys with a meaning of their own (global_config.py); any other key may be a server's name."""
    domains: tuple[str, ...]
    """Of a resources server (config_types.py, Domain)."""
    dataset_types: tuple[str, ...]
    """What the rows of a data set are for (config_types.py)."""
    licenses: tuple[str, ...]
    """Of a data set (config_types.py)."""
    globals_read: frozenset[str]
    """Global values that its servers read at run time (server_utils.py, and the servers in the wheel)."""
    globals_read_prefixes: tuple[str, ...]
    """Beginnings of further ones."""
    globals_read_by_agents: frozenset[str]
    """Those that only agents read: harbor_agent, mini_swe_agent, anyterminal_agent."""
    defaults: Mapping[str, Any]
    """Globals that its parser fills in before it starts a server, which trusts them to be there."""
    ray_users: frozenset[str]
    """Servers in its wheel whose code calls Ray; the others only connect to it."""
    file_writers: frozenset[str]
    """Agents and resources servers in its wheel whose code writes files, most of them next to the code."""
    includer_wins: bool
    """Whether a configuration overrides the files that it includes (global_config.py, load_extra_config_paths)."""
    not_in_containers: frozenset[str]
    """Servers that start vLLM through Ray on the machine itself and answer on that machine's address."""


_V0_4_0 = Release(
    version="0.4.0",
    python="3.12",
    ray="2.55.1",
    reserved_keys=frozenset(
        "config_paths entrypoint default_host head_server disallowed_ports head_server_deps python_version "
        "pip_install_verbose use_absolute_ip uv_pip_set_python skip_venv_if_present hf_token ray_head_node_address "
        "port_range_low port_range_high dry_run uv_cache_dir uv_venv_dir _inherit_from _copy nemo_gym_log_dir verbose "
        "json query results_dir cache_dir error_on_almost_servers".split()
    ),
    domains=tuple(
        "math coding agent knowledge instruction_following long_context safety games translation e2e rlhf other".split()
    ),
    dataset_types=("train", "validation", "example", "benchmark"),
    licenses=(
        "Apache 2.0",
        "MIT",
        "Creative Commons Attribution 4.0 International",
        "Creative Commons Attribution-ShareAlike 4.0 International",
        "NVIDIA Internal Use Only, Do Not Distribute",
        "TBD",
        "GNU General Public License v3.0",
        "CC BY-SA 4.0",
        "CC BY-NC 3.0",
        "NVIDIA Evaluation Dataset License Agreement",
    ),
    globals_read=frozenset(
        "ray_head_node_address use_absolute_ip default_host port_range_low port_range_high disallowed_ports "
        "nemo_gym_log_dir".split()
    ),
    globals_read_prefixes=("global_aiohttp_", "uvicorn_", "profiling_"),
    globals_read_by_agents=frozenset({"policy_model_name"}),
    defaults={
        "dry_run": False,
        "use_absolute_ip": False,
        "port_range_low": 10001,
        "port_range_high": 20000,
        "disallowed_ports": [],
    },
    ray_users=frozenset(
        "code_gen swerl_gen spider2_lite longmt_eval wmt_translation scicode code_fim evalplus "
        "anyterminal_agent swe_agents stirrup_agent mini_swe_agent mini_swe_agent_2 harbor_agent".split()
    ),
    file_writers=frozenset(
        "anyterminal_agent browsecomp_agent claude_code_agent harbor_agent hermes_agent mini_swe_agent "
        "mini_swe_agent_2 openclaw_agent opencode_agent pi_agent stirrup_agent swe_agents tau2 bigcodebench bird_sql "
        "browsecomp_advanced_harness competitive_coding_challenges cvdp ether0 finance_sec_search gdpval ifbench "
        "longmt_eval newton_bench proof_genselect proof_judge proof_verification rdkit_chemistry spider2_lite "
        "swerl_gen tavily_search vlm_eval_kit wmt_translation".split()
    ),
    includer_wins=False,
    not_in_containers=frozenset({"local_vllm_model", "genrm_model"}),
)
# Ray: the newest that both wheels accept (2.56.1 or later).
_V0_5_1 = replace(
    _V0_4_0,
    version="0.5.1",
    python="3.13",
    ray="2.60.0",
    reserved_keys=_V0_4_0.reserved_keys
    | frozenset(
        "model_endpoint_readiness_timeout_seconds observability_enabled model_call_capture_dir component_name".split()
    ),
    ray_users=_V0_4_0.ray_users - {"scicode"},
)
_V0_5_0 = replace(_V0_5_1, version="0.5.0")  # its code is that of 0.5.1
_V0_6_0 = replace(
    _V0_5_1,
    version="0.6.0",
    includer_wins=True,
    reserved_keys=_V0_5_1.reserved_keys
    | frozenset(
        "allow_openai_version_skew skip_verification skip_verification_reward allow_unsupported_pairing".split()
    ),
    ray_users=_V0_5_1.ray_users | {"osworld_agent"},
)
# Ray: what pip installs with the wheel, which asks for 2.58 or later. Its servers start Ray only where they say
# ``ray_enabled = True``.
_V0_7_0 = replace(
    _V0_6_0,
    version="0.7.0",
    reserved_keys=(_V0_4_0.reserved_keys - {"error_on_almost_servers"})
    | frozenset(
        "server_spinup_timeout_seconds model_endpoint_readiness_timeout_seconds allow_openai_version_skew "
        "uv_lock_timeout_seconds observability_enabled model_call_capture_dir token_id_capture component_name "
        "skip_verification skip_verification_reward telemetry allow_unsupported_pairing environment_server_name "
        "environment_server_routes environment_routing_mode".split()
    ),
    ray_users=frozenset(
        "code_fim code_gen evalplus longmt_eval spider2_lite swerl_gen wmt_translation anyterminal_agent harbor_agent "
        "harbor_agent_general mini_swe_agent mini_swe_agent_2 osworld_agent stirrup_agent swe_agents".split()
    ),
    file_writers=(_V0_4_0.file_writers - {"rdkit_chemistry"})
    | frozenset(
        "anyswe_agent cline_agent codex_agent cvdp_agent harness_agent harness_exa_search hermes_sandboxed_agent "
        "kilocode_agent miniswe_sandboxed_agent opencode_sandboxed_agent osworld_agent pi_sandboxed_agent pinchbench "
        "prime_agent simple_strands_agent terminus_2_agent vcqa_agent vibench_agent critpt deepswe denovo_swe "
        "finance_agent_v2 image_tools job_bench legal_agent_bench osworld scale_swe swe_next swe_rebench swebench "
        "swebench_pro swemer_oml swemer_v1 swemer_v2 terminal_bench_4 toolsandbox vibench workspace_bench".split()
    ),
)
# The oldest patch release of a Python that the wheels for it accept (0.5.0 and later).
LEAST_PATCHES: Mapping[str, str] = {"3.13": "3.13.14"}
RELEASES = (_V0_4_0, _V0_5_0, _V0_5_1, _V0_6_0, _V0_7_0)
DEFAULT = _V0_7_0  # the default version of servers of NeMo Gym
FORMER_DEFAULT = _V0_4_0  # the one of stacks whose state does not name a version

# Read from the main branch after 0.4.0, from no wheel yet.
_MAIN_KEYS = frozenset(
    "model_endpoint_readiness_timeout_seconds observability_enabled model_call_capture_dir component_name "
    "allow_openai_version_skew token_id_capture skip_verification skip_verification_reward".split()
)
# Options of its collector (0.6.0), which a configuration may hold too.
_WIRE_KEYS = frozenset({"agent_map", "fan_out"})
_MAIN_GLOBALS_READ = frozenset(
    "model_endpoint_readiness_timeout_seconds observability_enabled model_call_capture_dir token_id_capture "
    "skip_verification skip_verification_reward multistage".split()
)


def release_of(version: str) -> Release | None:
    """The record of exactly that version; None when it was not read."""
    return next((release for release in RELEASES if release.version == version), None)


def release_at(version: str) -> Release:
    """The newest record that is not newer than a version; the oldest one for a version before all.

    >>> release_at("0.6.3").version
    '0.6.0'
    """
    requested = _numbers(version)
    earlier = [release for release in RELEASES if _numbers(release.version) <= requested]
    return earlier[-1] if earlier else RELEASES[0]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version)[:3])


def _ordered_union(lists: list[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for items in lists for item in items))


RESERVED_KEYS = frozenset().union(*(release.reserved_keys for release in RELEASES)) | _MAIN_KEYS | _WIRE_KEYS
DOMAINS = _ordered_union([release.domains for release in RELEASES])
DATASET_TYPES = _ordered_union([release.dataset_types for release in RELEASES])
LICENSES = _ordered_union([release.licenses for release in RELEASES])
RAY_USERS = frozenset().union(*(release.ray_users for release in RELEASES))
NOT_IN_CONTAINERS = frozenset().union(*(release.not_in_containers for release in RELEASES))
GLOBALS_READ_PREFIXES = _ordered_union([release.globals_read_prefixes for release in RELEASES])
GLOBALS_READ_BY_AGENTS = frozenset().union(*(release.globals_read_by_agents for release in RELEASES))
GLOBALS_READ = frozenset().union(*(release.globals_read for release in RELEASES)) | _MAIN_GLOBALS_READ | {"telemetry"}

# Parameters of a call to a model (openai_utils.py of 0.4.0: NeMoGymResponseCreateParamsNonStreaming, and the OpenAI
# parameters that it inherits). Anything else in ``responses_create_params`` is refused.
CREATE_PARAMS = frozenset(
    "background include input instructions max_output_tokens max_tool_calls metadata model parallel_tool_calls "
    "previous_response_id prompt reasoning service_tier store temperature text tool_choice tools top_logprobs top_p "
    "truncation user stream stream_options conversation prompt_cache_key prompt_cache_retention "
    "safety_identifier".split()
)

# Environments that gymctl bundles under another name (0.2 to 0.4): (kind, NeMo Gym's implementation) -> gymctl's.
BUNDLED_NAMES: Mapping[tuple[str, str], str] = {
    ("resources_servers", "math_with_judge"): "library_judge_math",
    ("resources_servers", "code_gen"): "comp_coding",
}
_MATH_CONFIG = "resources_servers/library_judge_math/configs/math_with_judge.yaml"
# The configurations that NeMo Gym has for them -> the bundled one that defines servers of the same names.
BUNDLED_CONFIGS: Mapping[str, str] = {
    "resources_servers/math_with_judge/configs/math_with_judge.yaml": _MATH_CONFIG,
    "resources_servers/math_with_judge/configs/dapo17k.yaml": _MATH_CONFIG,
    "resources_servers/math_with_judge/configs/bytedtsinghua_dapo17k.yaml": _MATH_CONFIG,
    "resources_servers/code_gen/configs/code_gen.yaml": "resources_servers/comp_coding/configs/code_gen.yaml",
}

# Commands of 0.2 to 0.4 (``ng_run`` or ``nemo_gym_run``): the name without its prefix -> gymctl's command.
COMMAND_PREFIXES = ("ng_", "nemo_gym_")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "run": ("up",),
    "prepare_data": ("data", "prepare"),
    "status": ("status",),
    "collect_rollouts": ("collect",),
    "dump_config": ("config", "show"),
}
# Those that gymctl does not have -> what to use instead.
OTHER_COMMANDS: Mapping[str, str] = {
    "help": "see gymctl --help",
    "init_resources_server": "use gymctl env init NAME",
    "test": "use gymctl env test NAME",
    "version": "see gymctl --version",
    "e2e_collect_rollouts": "use gymctl up, then gymctl collect",
}

# Environment servers (0.7.0, global_config.py): rollout collection reaches an agent only through one that names it.
AGENT_KIND = "responses_api_agents"
ENVIRONMENT_KIND = "environment_servers"
RESOURCES_KIND = "resources_servers"
RELAY = "legacy_agent"  # its implementation that passes /run and /aggregate_metrics on, unread
RELAY_SUFFIX = "_environment_server"  # of the name that its parser gives the relay of an agent that has none

# The model server that starts vLLM itself (0.4.0, local_vllm_model/app.py): otherwise as vllm_model, which is its base.
SELF_SERVING_MODEL = "local_vllm_model"
SELF_SERVING_FIELDS = (
    "vllm_serve_kwargs",
    "vllm_serve_env_vars",
    "hf_home",
    "ray_worker_py_executable",
    "show_vllm_engine_stats",
    "debug",
)

# Kinds of failures (0.7.0, failure_kinds.py); a server's own is ``<server>:<kind>``.
FAILURE_KINDS = frozenset(
    "transport_unreachable transport_peer_drop transport_timeout transport_local_resource agent_run_error "
    "agent_request_failed agent_timeout agent_command_not_allowed judge_failed judge_unparseable verifier_error "
    "provider_unavailable provider_quota_exhausted provider_oom_killed session_lost session_expired "
    "session_release_failed cancelled kill_shaped shutdown persistence_failed cohort_incomplete".split()
)
MOST_REASON_CHARACTERS = 2000  # of a ``failure_reason`` (0.7.0, episode_types.py)

# The path of a call may begin with the rollout that it is for (0.6.0 and later, server_utils.py).
ROLLOUT_PREFIX = "/ng-rollout/"
TOKEN_CAPTURE_SEGMENT = "training-token-capture"  # noqa: S105 - a part of a path

# Paths of health checks (0.7.0, server_utils.py): the head answers the latter with 503 until every server was reached.
LIVENESS_PATHS = ("/livez",)
READINESS_PATHS = ("/readyz", "/healthz", "/health")

# Rows (0.6.0 and later, rollout_collection.py): ``task_source`` names the server that declares the data set, the global
# keys route rows; a task of 0.7.0 leads to an environment server by its taskset.
TASKSET_ROUTES = "environment_server_routes"
SKIPPED_VERIFICATION = ("skip_verification", "skip_verification_reward")  # globals that its parser gives every agent

# Training (0.7.0): the configuration of the policy that trainers name, and the fields of its server that they need.
TRAINING_POLICY = "policy_model"
TRAINING_CONFIG = "responses_api_models/vllm_model/configs/vllm_model_for_training.yaml"
TRAINING_MODEL = "vllm_model"
SET_FOR_TRAINING = frozenset(
    "entrypoint base_url api_key model return_token_id_information request_prompt_and_generation_token_ids".split()
)
# Servers that gymctl bundles and its wheel (0.7.0) does not have, as ``<kind>/<implementation>``.
NOT_IN_WHEEL = frozenset(
    "resources_servers/comp_coding resources_servers/library_judge_math resources_servers/multineedle "
    "resources_servers/weather responses_api_models/scripted_model".split()
)
