"""Stacks of NeMo Gym's servers, of gymctl's and of both, and rows whose rewards are known."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymctl import assets

VERSIONS = ("0.7.0", "0.4.0")  # the first one is the default of gymctl
ENVIRONMENTS = ("example_multi_step", "example_session_state_mgmt")
MODELS = ("their_model", "our_model")
Row = dict[str, Any]


@dataclass(frozen=True)
class Pairing:
    """An agent: what runs it, and whose environment and model it calls."""

    runtime: str
    environment: str
    model: str


AGENTS = {
    "theirs": Pairing("nemo-gym", "their", "their_model"),
    "ours": Pairing("gymctl", "our", "our_model"),
    "our_agent_on_theirs": Pairing("gymctl", "their", "their_model"),
    "their_agent_on_ours": Pairing("nemo-gym", "our", "our_model"),
}
VLLM_AGENTS = {
    "our_agent_on_their_vllm": Pairing("gymctl", "their", "their_vllm"),
    "their_agent_on_our_vllm": Pairing("nemo-gym", "our", "our_vllm"),
}


def reference(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "name": name}


def model(runtime: str, implementation: str, url: str) -> Row:
    if implementation == "openai_model":
        fields: Row = {"openai_base_url": url, "openai_api_key": "sk-none", "openai_model": "fake"}
    else:
        fields = {"base_url": url, "api_key": "sk-none", "model": "fake"}
        fields |= {"return_token_id_information": False, "uses_reasoning_parser": True}
    return {"responses_api_models": {implementation: {"entrypoint": "app.py", "runtime": runtime, **fields}}}


def resources(runtime: str, environment: str) -> Row:
    fields = {"entrypoint": "app.py", "runtime": runtime, "domain": "agent"}
    return {"resources_servers": {environment: fields}}


def agent(runtime: str, resources_server: str, model_server: str) -> Row:
    fields: Row = {"entrypoint": "app.py", "runtime": runtime}
    fields["resources_server"] = reference("resources_servers", resources_server)
    fields["model_server"] = reference("responses_api_models", model_server)
    return {"responses_api_agents": {"simple_agent": fields}}


def turn_server(resources_server: str, agent_server: str) -> Row:
    """An environment server of NeMo Gym 0.7 that lets an agent take one turn."""
    fields = {"entrypoint": "app.py", "runtime": "nemo-gym", "cleanup_timeout_seconds": 30}
    fields |= {"resources_tool_transports": ["direct_http"]}
    fields |= {"resources_server": reference("resources_servers", resources_server)}
    fields |= {"agent_server": reference("responses_api_agents", agent_server)}
    return {"environment_servers": {"single_agent_turn": fields}}


def stack_of(url: str, port: int, agents: Mapping[str, Pairing] = AGENTS) -> Row:
    """Models, environments and agents of both runtimes; agents of each call servers of the other too."""
    runtimes = {"their": "nemo-gym", "our": "gymctl"}
    whole: Row = {"head_server": {"host": "127.0.0.1", "port": port}}
    for who in sorted({pairing.environment for pairing in agents.values()}):
        for environment in ENVIRONMENTS:
            whole[f"{who}_{environment}"] = resources(runtimes[who], environment)
    for name in sorted({pairing.model for pairing in agents.values()}):
        who, _, implementation = name.partition("_")
        kind = {"model": "openai_model", "vllm": "vllm_model"}[implementation]
        whole[name] = model(runtimes[who], kind, url)
    for environment in ENVIRONMENTS:
        for name, pairing in agents.items():
            fields = agent(pairing.runtime, f"{pairing.environment}_{environment}", pairing.model)
            whole[f"{name}_{environment}"] = fields
    return whole


def examples(environment: str) -> list[Row]:
    """The example rows of a bundled environment, each of which the scripted endpoint solves."""
    path = assets.folder("services") / "resources_servers" / environment / "data" / "example.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows_with_rewards(environment: str) -> list[tuple[Row, float]]:
    """The example rows, and what each earns: of the last one the expectation is wrong, so it earns nothing."""
    *good, last = examples(environment)
    if environment == "example_multi_step":
        wrong = {**last, "expected_synonym_values": [1]}
    else:
        wrong = {**last, "expected_count": last["expected_count"] + 1}
    return [*((row, 1.0) for row in good), (wrong, 0.0)]


def for_agent(row: Row, name: str) -> Row:
    return {**row, "agent_ref": reference("responses_api_agents", name)}


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def gymctl(directory: Path, *arguments: object, timeout: float = 240, code: int | None = 0) -> str:
    """Run one command of gymctl to its end; what it printed. ``code``: the exit code it must have, None for any."""
    command = [sys.executable, "-m", "gymctl.cli.main", *map(str, arguments)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=timeout, check=False)
    assert code in (None, done.returncode), f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
