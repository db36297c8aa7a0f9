"""What NeMo Gym's own parser makes of its own configurations, as JSON lines. Run it with NeMo Gym's interpreter.

    PYTHON_WITH_NEMO_GYM scripts/upstream_configs.py FOLDER > resolved.jsonl

Every configuration under ``resources_servers``, ``responses_api_models`` and ``responses_api_agents`` of the installed
package is parsed, all in this one process: one with a policy model in it alone, any other with
``openai_model.yaml``. FOLDER becomes the parser's current directory (it must hold no ``env.yaml``).

The first line is ``{"root": where the package is}``. Each further one has ``config``, ``paths``, ``given`` (the values
of the command line), ``error`` (what the parser said to that, or null), ``added`` (what had to be given besides: unset
values, keys that interpolations want, servers that are referred to), and ``resolved`` (the result then, or null).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from typing import Any

MODEL = "responses_api_models/openai_model/configs/openai_model.yaml"
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
    for kind in ("resources_servers", "responses_api_models", "responses_api_agents"):
        for path in sorted((PARENT_DIR / kind).glob("*/configs/*.yaml")):
            config = str(path.relative_to(PARENT_DIR))
            has_model = re.search(r"^policy_model:", path.read_text(encoding="utf-8"), re.MULTILINE)
            paths = [config] if kind == "responses_api_models" or has_model else [MODEL, config]
            emit({"config": config, "paths": paths, "given": VALUES, **completed(paths)})


def emit(line: dict[str, Any]) -> None:
    """Write one JSON line."""
    sys.stdout.write(json.dumps(line, default=str) + "\n")


def completed(paths: list[str]) -> dict[str, Any]:
    """Parse, and as long as the parser says what is missing, add that and parse again."""
    added: dict[str, Any] = {}
    first = error = ""
    for attempt in range(20):
        result, error = parsed(paths, added)
        first = first if attempt else error
        if result is not None:
            return {"error": first or None, "added": added, "resolved": result}
        if not add_missing(error, added):
            break
    return {"error": first, "added": added, "resolved": None, "at_last": error}


def parsed(paths: list[str], added: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The parser's result with interpolations filled in, or its error."""
    from nemo_gym.global_config import GlobalConfigDictParser
    from omegaconf import OmegaConf

    given = OmegaConf.create({"config_paths": paths, **VALUES, **added})
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            result = GlobalConfigDictParser().parse_no_environment(initial_global_config_dict=given)
        filled: Any = OmegaConf.to_container(result, resolve=True)
        return filled, ""
    except Exception as error:  # noqa: BLE001 - whatever upstream raises is what is wanted
        return None, f"{type(error).__name__}: {error}"


def add_missing(error: str, added: dict[str, Any]) -> bool:
    """Add what ``error`` says is missing; False when it says no such thing."""
    before = json.dumps(added)
    if error.startswith("ConfigMissingValuesError"):
        for path in re.findall(r"^  - (\S+)$", error, re.MULTILINE):
            put(added, path.split("."), f"given_{path.split('.')[-2]}")
    elif found := re.search(r"Interpolation key '([^']+)' not found", error):
        put(added, found[1].split("."), f"given for {found[1]}")
    elif found := re.search(r"references (\w+)/'([^']+)', which is not defined", error):
        added[found[2]] = {found[1]: {"stub": {"entrypoint": "app.py", "domain": "other"}}}
    return json.dumps(added) != before


def put(target: dict[str, Any], path: list[str], value: str) -> None:
    """Set a value deep in nested mappings."""
    for part in path[:-1]:
        target = target.setdefault(part, {})
    target[path[-1]] = value


if __name__ == "__main__":
    main()
