"""What NeMo Gym's own parser makes of recipes of NeMo RL, as JSON lines. Run it with NeMo Gym's interpreter.

    PYTHON_WITH_NEMO_GYM scripts/upstream_recipes.py FOLDER EMPTY > resolved.jsonl

FOLDER holds recipes (``*.yaml``, at any depth, with the files that their ``defaults`` name). EMPTY becomes the current
directory. The first line is ``{"root": where the package is}``. Each further one has ``recipe`` (its path in FOLDER),
``environ`` (variables that had to be set), ``error`` (or null) and ``resolved`` (the parser's result, or null).
"""

from __future__ import annotations

import contextlib
import io
import json
import operator
import os
import re
import sys
from pathlib import Path
from typing import Any

BASE_URL = "http://policy.example/v1"
MODEL = "model-of-the-launcher"  # where the recipe has null
FUNCTIONS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv}
TRAINER_KEYS = frozenset(
    "is_trajectory_collection effort_levels pad_dynamic_image_shapes invalid_tool_call_patterns thinking_tags "
    "tokenizer_config num_gpu_nodes rollout_max_attempts_to_avoid_lp_nan require_routed_experts routed_experts_dtype "
    "use_fastokens token_capture shards common_overrides common_inherited_overlays allowed_duplicate_entries "
    "placement_strategy".split()
)
GYM_FOLDER = "3rdparty/Gym-workspace/Gym/"


def main() -> None:
    """Parse all, one line each."""
    folder = Path(sys.argv[1]).resolve()
    os.chdir(sys.argv[2])
    with contextlib.redirect_stdout(io.StringIO()):
        from nemo_gym import PARENT_DIR
    from omegaconf import OmegaConf

    for name, function in FUNCTIONS.items():
        OmegaConf.register_new_resolver(name, function)
    OmegaConf.register_new_resolver("max", lambda first, second: sorted((first, second))[1])
    emit({"root": str(PARENT_DIR)})
    for path in sorted(folder.rglob("*.yaml")):
        emit({"recipe": str(path.relative_to(folder)), **completed(path)})


def emit(line: dict[str, Any]) -> None:
    """Write one JSON line."""
    sys.stdout.write(json.dumps(line, default=str) + "\n")


def completed(path: Path) -> dict[str, Any]:
    """The result once every variable of the environment that the recipe reads is set."""
    variables: dict[str, str] = {}
    result, error = parsed(path)
    while match := re.search(r"Environment variable '([^']+)' not found", error):
        variables[match[1]] = os.environ[match[1]] = f"value-of-{match[1].lower()}"
        result, error = parsed(path)
    for name in variables:
        del os.environ[name]
    return {"environ": variables, "error": error or None, "resolved": result}


def parsed(path: Path) -> tuple[dict[str, Any] | None, str]:
    """What the parser makes of a recipe as NeMo RL passes it on, or the error of either."""
    from nemo_gym.global_config import GlobalConfigDictParser
    from omegaconf import OmegaConf

    try:
        whole: Any = OmegaConf.create(merged(path))
        own: Any = OmegaConf.to_container(whole.env.nemo_gym, resolve=True)
        block = passed_on(whole, own)
        with contextlib.redirect_stdout(io.StringIO()):
            result = GlobalConfigDictParser().parse_no_environment(initial_global_config_dict=OmegaConf.create(block))
        filled: Any = OmegaConf.to_container(result, resolve=True)
        return filled, ""
    except Exception as error:  # noqa: BLE001 - whatever upstream raises is part of the result
        return None, f"{type(error).__name__}: {error}"


def merged(path: Path) -> dict[str, Any]:
    """A recipe over the files that its ``defaults`` name."""
    import yaml

    own: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    names = own.pop("defaults", [])
    if isinstance(names, str):
        names = [names]
    whole: Any = {}
    for name in names:
        whole = over(whole, merged(path.parent / name))
    result: dict[str, Any] = over(whole, own)
    return result


def over(base: Any, own: Any) -> Any:
    """``own`` merged over ``base``; a mapping with ``_override_`` replaces."""
    if not isinstance(own, dict):
        return own
    result: dict[str, Any] = {}
    if own.get("_override_") is not True and isinstance(base, dict):
        result |= base
    for key, value in own.items():
        if key != "_override_":
            result[key] = over(result.get(key), value)
    return result


def passed_on(whole: Any, block: dict[str, Any]) -> dict[str, Any]:
    """What NeMo RL gives NeMo Gym of a block: without its own keys, with the endpoint of its policy.

    What it gives to several NeMo Gyms, the shards of a block, is put together.
    """
    shards = block.get("shards") or []
    listed = [*(block.get("config_paths") or []), *(path for shard in shards for path in shard["config_paths"])]
    for override in (block.get("common_overrides"), *(shard.get("overrides") for shard in shards)):
        block = over(block, override or {})
    paths = list(dict.fromkeys(path.removeprefix(GYM_FOLDER) for path in listed))
    return {
        **{key: value for key, value in block.items() if key not in TRAINER_KEYS},
        "config_paths": paths,
        "policy_model_name": whole.policy.model_name or MODEL,
        "policy_api_key": "dummy_key",
        "policy_base_url": BASE_URL,
    }


if __name__ == "__main__":
    main()
