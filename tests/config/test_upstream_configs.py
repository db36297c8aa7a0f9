"""Every configuration that NeMo Gym 0.4.0 and 0.7.0 ship resolves here as its own parser resolves it, and renders.

Needs interpreters with ``nemo-gym`` installed, named by ``GYMCTL_UPSTREAM_PYTHON`` and ``GYMCTL_UPSTREAM_07_PYTHON``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_files import Folder
from upstream_comparison import difference, self_serving

from gymctl.config import Config, MergeOrder
from gymctl.errors import InputError
from gymctl.stack import StackOptions, plan_stack, render_stack

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "upstream_configs.py"


@dataclass(frozen=True)
class Wheel:
    """A release whose configurations are compared."""

    version: str
    variable: str
    """Of the environment; it names an interpreter that has the release."""
    order: MergeOrder
    differences: Mapping[str, str]
    """Configurations that differ, and why that is right."""
    unrendered: Mapping[str, str]
    """Parts of messages with which a configuration is not rendered, and why that is right."""


_OVERLAY = "an overlay for another configuration; alone it defines no server, which upstream accepts and we refuse"
_CACHE = "upstream fills in a folder of the machine it runs on; a container has no such folder"
_AGENT_MAP = "upstream derives which agent takes over the rows of the agent that is overridden; here +agent_map does"
_DIFFERENCES = {
    "responses_api_models/vllm_model/configs/vllm_model_supply_prefix.yaml": _OVERLAY,
    "responses_api_agents/vibench_agent/configs/docker.yaml": _OVERLAY,
    "resources_servers/finance_sec_search/configs/finance_sec_search.yaml": _CACHE,
    "benchmarks/finance_sec_search/config_no_web_search.yaml": _CACHE,
    "benchmarks/finance_sec_search/config_web_search.yaml": _CACHE,
    "environments/claude_code_reasoning_gym/config.yaml": _AGENT_MAP,
    "environments/hermes_reasoning_gym/config.yaml": _AGENT_MAP,
    "environments/langgraph_orchestrator_reasoning_gym/config.yaml": _AGENT_MAP,
    "environments/langgraph_parallel_thinking_reasoning_gym/config.yaml": _AGENT_MAP,
    "environments/langgraph_reflection_reasoning_gym/config.yaml": _AGENT_MAP,
    "environments/langgraph_rewoo_reasoning_gym/config.yaml": _AGENT_MAP,
}
_UNRENDERED = {
    "looks like a server but has no entrypoint": _OVERLAY,
}
WHEELS = (
    Wheel(
        version="0.4.0",
        variable="GYMCTL_UPSTREAM_PYTHON",
        order=MergeOrder.INCLUDES_LAST,
        differences={},
        unrendered=_UNRENDERED,
    ),
    Wheel(
        version="0.7.0",
        variable="GYMCTL_UPSTREAM_07_PYTHON",
        order=MergeOrder.INCLUDES_FIRST,
        differences=_DIFFERENCES,
        unrendered=_UNRENDERED,
    ),
)


@dataclass(frozen=True)
class Parsed:
    """What upstream's parser made of the configurations of one wheel."""

    wheel: Wheel
    root: Path
    entries: list[dict[str, Any]]


@pytest.fixture(scope="module", params=WHEELS, ids=lambda wheel: wheel.version)
def parsed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    wheel: Wheel = request.param
    python = os.environ.get(wheel.variable, "")
    if not python or not Path(python).is_file():
        pytest.skip(f"{wheel.variable} names no interpreter with nemo-gym {wheel.version} in it")
    folder = tmp_path_factory.mktemp("empty")
    done = subprocess.run([python, str(SCRIPT), str(folder)], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    root, *entries = [json.loads(line) for line in done.stdout.splitlines()]
    return Parsed(wheel, Path(root["root"]), entries)


def test_every_shipped_configuration_resolves_as_upstream_resolves_it(
    parsed: Parsed, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = parsed.entries
    differences = {entry["config"]: _difference(entry, folder, parsed) for entry in entries}
    differing = {config: text for config, text in differences.items() if text}
    as_they_are = sum(entry["error"] is None for entry in entries)
    with capsys.disabled():
        print(
            f"\n{parsed.wheel.version}: {len(entries) - len(differing)} of {len(entries)} configurations as upstream "
            f"resolves them; {as_they_are} of them as they are, the others are refused by both and agree once completed"
        )
    unexpected = {config: text for config, text in differing.items() if config not in parsed.wheel.differences}
    assert not unexpected, json.dumps(unexpected, indent=2)
    assert len(entries) > 200
    assert not set(parsed.wheel.differences) - set(differing), "these no longer differ"


def test_every_shipped_configuration_renders(
    parsed: Parsed, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    complete = [entry for entry in parsed.entries if entry["resolved"] is not None]
    refused = {entry["config"]: text for entry in complete if (text := _refusal(entry, folder, parsed))}
    reasons = parsed.wheel.unrendered
    with capsys.disabled():
        print(f"\n{parsed.wheel.version}: {len(complete) - len(refused)} of {len(complete)} configurations render")
    unexpected = {config: text for config, text in refused.items() if not any(part in text for part in reasons)}
    assert not unexpected, json.dumps(unexpected, indent=2)


def _load(entry: dict[str, Any], folder: Folder, parsed: Parsed, *added: str) -> Config:
    overrides = [f"+{key}='{value}'" for key, value in entry["given"].items()]
    environ = {"NEMO_GYM_EXTRA_ROOTS": str(parsed.root), **(entry["environ"] if added else {})}
    paths = ",".join([*entry["paths"], *added])
    return folder.load(f"+config_paths=[{paths}]", *overrides, environ=environ, merge_order=parsed.wheel.order)


def _completed(entry: dict[str, Any], folder: Folder, parsed: Parsed, **more: Any) -> Config:
    """The configuration with everything that upstream said was missing."""
    folder.write("added.yaml", yaml.safe_dump(entry["added"]))
    folder.write("more.yaml", yaml.safe_dump(more))
    return _load(entry, folder, parsed, "added.yaml", "more.yaml")


def _refusal(entry: dict[str, Any], folder: Folder, parsed: Parsed) -> str:
    """Why a configuration is not rendered; empty when it is. Servers that start vLLM themselves are elsewhere."""
    options = StackOptions(version="1", gym_version=parsed.wheel.version, gym_root=parsed.root)
    outside = {name: {"at": "http://gpu-1:8000"} for name in self_serving(entry["resolved"])}
    try:
        config = _completed(entry, folder, parsed, runtime="nemo-gym", **outside)
        plan = plan_stack(config, name="stack", options=options)
    except InputError as error:
        return str(error)
    assert yaml.safe_load(render_stack(plan))["services"]
    return ""


def _difference(entry: dict[str, Any], folder: Folder, parsed: Parsed) -> str:
    """What is not as upstream has it; empty when all is."""
    try:
        _load(entry, folder, parsed)
        refused = ""
    except InputError as error:
        refused = str(error)
    if bool(refused) != bool(entry["error"]):
        return f"upstream: {entry['error'] or 'accepts'}; ours: {refused or 'accepts'}"
    if entry["resolved"] is None:
        return ""
    try:
        return difference(_completed(entry, folder, parsed), entry["resolved"])
    except InputError as error:
        return f"ours refuses what upstream accepts: {error}"
