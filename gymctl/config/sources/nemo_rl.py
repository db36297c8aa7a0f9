"""What gymctl knows about recipes of NeMo RL, read from its repository in August 2026.

This module imports nothing of gymctl and nothing heavy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

# Keys of ``env.nemo_gym`` that only NeMo RL reads (nemo_gym.py, nemo_gym_shards.py), and the key of its policy's
# endpoint.
TRAINER_KEYS = frozenset(
    "is_trajectory_collection effort_levels pad_dynamic_image_shapes invalid_tool_call_patterns thinking_tags "
    "tokenizer_config num_gpu_nodes rollout_max_attempts_to_avoid_lp_nan require_routed_experts routed_experts_dtype "
    "use_fastokens token_capture shards common_overrides common_inherited_overlays allowed_duplicate_entries "
    "placement_strategy".split()
)
TRAINER_POLICY_KEY = "dummy_key"
# Functions that its recipes may call in an interpolation (config.py): each takes two numbers.
TRAINER_RESOLVERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "max": lambda first, second: sorted((first, second))[1],  # OmegaConf finds no signature of the built-in
}
TRAINER_GYM_FOLDER = "3rdparty/Gym-workspace/Gym/"  # where its repository has NeMo Gym; paths in recipes may begin so
# Globals that NeMo RL sets when it starts the servers (nemo_gym.py).
SET_BY_NEMO_RL = frozenset(
    "policy_model_name policy_api_key policy_base_url default_host port_range_low port_range_high head_server "
    "global_aiohttp_connector_limit global_aiohttp_connector_limit_per_host ray_head_node_address "
    "use_absolute_ip disallowed_ports uv_cache_dir uv_venv_dir config_paths".split()
)
