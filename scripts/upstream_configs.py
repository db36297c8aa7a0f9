"""What NeMo Gym's own parser makes of its own configurations, as JSON lines. Run it with NeMo Gym's interpreter.

    PYTHON_WITH_NEMO_GYM scripts/upstream_configs.py FOLDER > resolved.jsonl

Every configuration under ``resources_servers``, ``responses_api_models``, ``responses_api_agents``, ``benchmarks``
and ``environments`` of the installed package is parsed, all in this one process: one with a policy model in it alone,
any other with ``openai_model.yaml`` (or ``vllm_model.yaml``, where that is what it changes). FOLDER becomes the
parser's current directory (it must hold no ``env.yaml``).

The first line is ``{"root": where the package is}``. Each further one has ``config``, ``paths``, ``given`` (the values
of the command line), ``error`` (what the parser said to that, or null), ``added`` (what had to be added: unset values,
keys that interpolations want, servers that are referred to), ``environ`` (variables that had to be set), and
``resolved`` (the result then, or null).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from typing import Any

PATTERNS = {
    "resources_servers": "*/configs/**/*.yaml",
    "responses_api_models": "*/configs/**/*.yaml",
    "responses_api_agents": "*/configs/**/*.yaml",
    "benchmarks": "*/config*.yaml",
    "environments": "*/config*.yaml",
}
MODELS = (
    "responses_api_models/openai_model/configs/openai_model.yaml",
    "responses_api_models/vllm_model/configs/vllm_model.yaml",
)
VALUES = {
    "policy_base_url": "http://model.example/v1",
    "policy_api_key": "key-of-the-policy",
    "policy_model_name": "policy-name",
}


def main() -> None:
    """Parse all, one line each."""
    os.chdir(sys.argv[1])
    with contextlib.redirect_stdout(io.StringIO()):
        from nemo_gym import PARENT_DIR
    emit({"root": str(PARENT_DIR)})
    for kind, pattern in PATTERNS.items():
        for path in sorted((PARENT_DIR / kind).glob(pattern)):
            config = str(path.relative_to(PARENT_DIR))
            has_model = re.search(r"^policy_model:", path.read_text(encoding="utf-8"), re.MULTILINE)
            alone = kind == "responses_api_models" or has_model
            models: list[tuple[str, ...]]
            if alone:
                models = [()]
            else:
                models = [(name,) for name in MODELS]
            emit({"config": config, "given": VALUES, **with_a_model(models, config)})


def emit(line: dict[str, Any]) -> None:
    """Write one JSON line."""
    sys.stdout.write(json.dumps(line, default=str) + "\n")


def with_a_model(models: list[tuple[str, ...]], config: str) -> dict[str, Any]:
    """The result with the first of the models that the configuration gets on with (one changes vllm_model's fields)."""
    result: dict[str, Any] = {}
    for model in models:
        paths = [*model, config]
        result = {"paths": paths, **completed(paths)}
        if result["resolved"] is not None:
            break
    return result


def completed(paths: list[str]) -> dict[str, Any]:
    """Parse, and as long as the parser says what is missing, add that and parse again."""
    added: dict[str, Any] = {}
    variables: dict[str, str] = {}
    implementation = "".join(paths[-1].split("/")[1:2])  # <kind>/<implementation>/...; other files have none
    first = error = ""
    result = None
    for attempt in range(20):
        result, error = parsed(paths, added)
        if attempt == 0:
            first = error
        if result is not None or not add_missing(error, added, variables, implementation):
            break
    for name in variables:
        del os.environ[name]
    if result is not None:
        return {"error": first or None, "added": added, "environ": variables, "resolved": result}
    return {"error": first, "added": added, "environ": variables, "resolved": None, "at_last": error}


def parsed(paths: list[str], added: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The parser's result with interpolations filled in, or its error."""
    from nemo_gym.global_config import GlobalConfigDictParser
    from omegaconf import OmegaConf

    overrides = OmegaConf.create({"config_paths": paths, **VALUES, **added})
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            result = GlobalConfigDictParser().parse_no_environment(initial_global_config_dict=overrides)
        filled: Any = OmegaConf.to_container(result, resolve=True)
        return filled, ""
    except Exception as error:  # noqa: BLE001 - whatever upstream raises is what is wanted
        return None, f"{type(error).__name__}: {error}"


def add_missing(error: str, added: dict[str, Any], variables: dict[str, str], implementation: str) -> bool:
    """Add what ``error`` says is missing, variables of the environment too; False when it says no such thing."""
    before = json.dumps(added)
    if error.startswith("ConfigMissingValuesError"):
        for path in re.findall(r"^  - (\S+)$", error, re.MULTILINE):
            put(added, path.split("."), f"given_{path.split('.')[-2]}")
    elif match := re.search(r"Environment variable '([^']+)' not found", error):
        variables[match[1]] = os.environ[match[1]] = f"given for {match[1]}"
        return True
    elif match := re.search(r"Agent instance '([^']+)' leaves its '([^']+)' unset", error):
        entry = {match[2]: {"type": "resources_servers", "name": "given_resources_server"}}
        added[match[1]] = {"responses_api_agents": {implementation: entry}}
    elif match := re.search(r"Interpolation key '([^']+)' not found", error):
        put(added, match[1].split("."), f"given for {match[1]}")
    elif match := re.search(r"references (\w+)/'([^']+)', which is not defined", error):
        added[match[2]] = {match[1]: {"stub": {"entrypoint": "app.py", "domain": "other"}}}
    return json.dumps(added) != before


def put(target: dict[str, Any], path: list[str], value: str) -> None:
    """Set a value deep in nested mappings."""
    for part in path[:-1]:
        target = target.setdefault(part, {})
    target[path[-1]] = value


if __name__ == "__main__":
    main()
