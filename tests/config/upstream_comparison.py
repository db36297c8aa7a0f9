"""Compare a configuration as gymctl resolves it with the one of NeMo Gym's own parser."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from gymctl.config import Config
from gymctl.config.upstream import NOT_IN_CONTAINERS

# Computed by upstream's parser for its own process: ports it picked, versions and folders of the machine.
COMPUTED = frozenset(
    "config_paths head_server disallowed_ports port_range_low port_range_high use_absolute_ip head_server_deps "
    "python_version skip_venv_if_present dry_run uv_cache_dir uv_venv_dir results_dir cache_dir "
    "uv_lock_timeout_seconds model_endpoint_readiness_timeout_seconds server_spinup_timeout_seconds "
    "allow_openai_version_skew".split()
)
KINDS = ("responses_api_models", "responses_api_agents", "resources_servers", "environment_servers")


def difference(config: Config, resolved: Mapping[str, Any]) -> str:
    """What ``config`` has not as upstream ``resolved`` it; empty when all is the same."""
    ours = _comparable(config, resolved)
    theirs = {key: value for key, value in resolved.items() if key not in COMPUTED}
    for name in theirs.keys() - ours.keys():  # the head adds those when it answers
        if isinstance(theirs[name], dict) and set(theirs[name].get("environment_servers", ())) == {"legacy_agent"}:
            del theirs[name]
    return "; ".join(_unequal(ours, theirs, ""))


def self_serving(resolved: Mapping[str, Any]) -> Iterator[str]:
    """The model servers that start vLLM themselves, which no container can."""
    for name, value in resolved.items():
        models = value.get("responses_api_models", {}) if isinstance(value, dict) else {}
        if NOT_IN_CONTAINERS & models.keys():
            yield name


def _unequal(ours: Any, theirs: Any, place: str) -> Iterator[str]:
    """The places where two values differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in ours.keys() | theirs.keys():
            yield from _unequal(ours.get(key), theirs.get(key), f"{place}.{key}")
    elif ours != theirs:
        yield f"{place}: upstream has {theirs!r}, we have {ours!r}"


def _comparable(config: Config, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our resolved view, with the hosts and ports that upstream picked where the configuration has none."""
    ours = {key: copy.deepcopy(value) for key, value in config.resolved.items() if key not in COMPUTED}
    for name, entry in ours.items():
        for kind in KINDS:
            if not isinstance(entry, dict) or not isinstance(entry.get(kind), dict):
                continue
            for implementation, fields in entry[kind].items():
                picked = theirs.get(name, {}).get(kind, {}).get(implementation, {})
                if "port" in picked and isinstance(fields, dict):
                    fields.setdefault("host", picked["host"])
                    fields.setdefault("port", picked["port"])
    return ours
