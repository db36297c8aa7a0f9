"""Agents and environments of NeMo Gym 0.7, unmodified, with the configurations of its wheel, in one stack.

Those that need neither a GPU nor a key nor data from the network. A model answers as in the rollouts that the wheel has
of each environment; the rewards must be those of the environment's own code, run outside of any stack, and, where it
was not changed since, those that were recorded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from os import getpid
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_openai import ANSWERS, endpoint
from free_ports import free_port
from gym_stack import Row, for_agent, gymctl, read_rows, reference, rows_with_rewards, turn_server, write_rows
from recorded_model import RecordedModel, outline

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
from upstream_client import interpreter

pytestmark = [pytest.mark.docker, pytest.mark.lab]

RELEASE = "0.7.0"
JUDGE = Path(__file__).parent / "upstream_rewards.py"
MODEL = "responses_api_models/openai_model/configs/openai_model.yaml"
TOOLS = "example_multi_step"
COMPACTION = "simple_agent_with_compaction"


@dataclass(frozen=True)
class Environment:
    """An environment of the wheel, whose configuration names its agent."""

    name: str
    agent: str = "simple_agent"
    is_as_recorded: bool = True
    """Whether its code gives the rewards that the wheel's rollouts have."""
    needs_packages: bool = False
    """Whether its code needs packages that NeMo Gym does not bring: only its image has them."""
    alone: str = ""
    """A configuration of the environment without an agent, instead of the one with its own name."""

    @property
    def config(self) -> str:
        return f"resources_servers/{self.name}/configs/{self.alone or self.name}.yaml"


ENVIRONMENTS = [
    Environment("citation_if"),
    Environment("fukuyamabench", needs_packages=True),
    Environment("gui_coordinate"),
    Environment("iheval", needs_packages=True),
    Environment("lc_niah", is_as_recorded=False),
    Environment("openair_congestion", agent="gymnasium_agent", is_as_recorded=False),
    Environment("ragtruth"),
    Environment("scicodepile"),
    Environment("spartqa", alone="spartqa_serve"),  # the other file has a license that NeMo Gym itself rejects
    Environment("string_match"),
]
# Agents of 0.7 -> fields of theirs; ``agent_base_url`` is the address of an agent that runs elsewhere: the model's.
AGENTS: dict[str, Row] = {
    "haystack_agent": {"pipeline_yaml": "configs/pipeline.yaml", "agent_component_name": "agent"},
    "remote_agent": {"agent_base_url": "http://localhost:{port}", "concurrency": 8},
    COMPACTION: {"context_history": {"enabled": False}},
}


def site() -> Path:
    """The folder with the installed wheel."""
    return interpreter(RELEASE).parents[1] / "lib" / "python3.13" / "site-packages"


def recorded(name: str) -> list[tuple[Row, Row]]:
    """The example rows of an environment that the wheel has a rollout of, each with that."""
    data = site() / "resources_servers" / name / "data"
    rollouts = [
        (outline(one["responses_create_params"]["input"]), one) for one in read_rows(data / "example_rollouts.jsonl")
    ]
    pairs = []
    for row in read_rows(data / "example.jsonl"):
        beginning = outline(row["responses_create_params"]["input"])
        pairs += [(row, one) for start, one in rollouts if start[: len(beginning)] == beginning][:1]
    return pairs


def configuration(port: int, model_port: int) -> Row:
    """The wheel's configurations as they are, and agents on the wheel's example environment."""
    whole: Row = {
        "config_paths": [MODEL, *(one.config for one in ENVIRONMENTS)],
        "runtime": "nemo-gym",
        "head_server": {"host": "127.0.0.1", "port": port},
        "policy_base_url": f"http://localhost:{model_port}/v1",
        "policy_api_key": "none",
        "policy_model_name": "recorded",
        "tools": {"resources_servers": {TOOLS: {"entrypoint": "app.py", "domain": "agent"}}},
        "environment_server_routes": {"tools_tasks": "tools_turn"},
        "tools_turn": turn_server("tools", "tools_turn_agent"),
        "compaction_model": compaction_model(f"http://localhost:{model_port}/v1"),
    }
    for one in ENVIRONMENTS:
        if one.alone:
            whole[f"{one.name}_{one.agent}"] = agent_of(one.name, one.agent, {})
    whole["tools_turn_agent"] = agent_of("tools", "simple_agent", {})
    for implementation, fields in AGENTS.items():
        text = json.dumps(fields).replace("{port}", str(model_port))
        whole[f"tools_{implementation}"] = agent_of("tools", implementation, json.loads(text))
    return whole


def compaction_model(url: str) -> Row:
    """The model server that one of the agents requires: it calls chat completions."""
    fields = {"base_url": url, "api_key": "none", "model": "scripted", "uses_reasoning_parser": False}
    fields |= {"entrypoint": "app.py", "return_token_id_information": False}
    return {"responses_api_models": {"vllm_model_with_compaction": fields}}


def agent_of(environment: str, implementation: str, fields: Row) -> Row:
    fields = {"entrypoint": "app.py", "resources_server": reference("resources_servers", environment), **fields}
    if "agent_base_url" not in fields:
        name = "compaction_model" if implementation == COMPACTION else "policy_model"
        fields["model_server"] = reference("responses_api_models", name)
    return {"responses_api_agents": {implementation: fields}}


def rows_of_all() -> dict[str, list[Row]]:
    """agent -> its rows."""
    rows = {f"{one.name}_{one.agent}": [row for row, _ in recorded(one.name)] for one in ENVIRONMENTS}
    return rows | {f"tools_{name}": [row for row, _ in rows_with_rewards(TOOLS)] for name in AGENTS}


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Row]]]:
    """agent -> its rollouts, in the order of its rows; they were collected from one stack."""
    directory = tmp_path_factory.mktemp("environments")
    model = RecordedModel([rollout for one in ENVIRONMENTS for _, rollout in recorded(one.name)])
    with endpoint({**ANSWERS, "/v1/responses": model.respond}) as model_port:
        whole = configuration(free_port(), model_port)
        (directory / "stack.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
        try:
            options = ["--name", f"gymtest-{getpid()}-environments", "--gym-root", site(), "--timeout", 900]
            gymctl(directory, "up", "stack.yaml", *options, timeout=1800)
            yield collected(directory)
        finally:
            if (directory / ".gymctl" / "stack.json").exists():
                gymctl(directory, "down")


def collected(directory: Path) -> dict[str, list[Row]]:
    rows = rows_of_all()
    agents = [name for name, own in rows.items() for _ in own]
    write_rows(directory / "rows.jsonl", [for_agent(row, name) for name, own in rows.items() for row in own])
    identities = [{"taskset": "tools_tasks", "task_id": str(number)} for number in range(5)]
    tasks = [
        {"task_id": identity, "task_input": row}
        for identity, (row, _) in zip(identities, rows_with_rewards(TOOLS), strict=True)
    ]
    write_rows(directory / "tasks.jsonl", tasks)
    results: dict[str, list[Row]] = {name: [] for name in [*rows, "tools_turn"]}
    for name in ("rows", "tasks"):
        gymctl(
            directory, "collect", "--input", f"{name}.jsonl", "--output", f"{name}_out.jsonl", timeout=600, code=None
        )
        for rollout in sorted(read_rows(directory / f"{name}_out.jsonl"), key=lambda one: one["_ng_task_index"]):
            agent = agents[rollout["_ng_task_index"]] if name == "rows" else "tools_turn"
            results[agent].append(rollout)
    return results


def rewards_outside(environment: str, judged: list[Row]) -> list[float]:
    """The rewards that the environment's own code gives rollouts, in a process of the installed release."""
    command = [str(interpreter(RELEASE)), str(JUDGE)]
    text = json.dumps({environment: judged})
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return list(json.loads(done.stdout.splitlines()[-1])[environment])


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda one: one.name)
def test_an_environment_gives_the_rewards_of_its_own_code(
    rollouts: dict[str, list[Row]], environment: Environment
) -> None:
    pairs = recorded(environment.name)
    results = rollouts[f"{environment.name}_{environment.agent}"]
    rewards: list[Any] = [result["reward"] for result in results]
    assert len(rewards) == len(pairs) >= 4
    if environment.is_as_recorded:
        assert rewards == [rollout["reward"] for _, rollout in pairs]
    if not environment.needs_packages:
        judged = [{**row, "response": result["response"]} for (row, _), result in zip(pairs, results, strict=True)]
        assert rewards == rewards_outside(environment.name, judged)
    print(f"{environment.name} with {environment.agent}: {rewards}")


@pytest.mark.parametrize("agent", [*AGENTS, "turn"])
def test_an_agent_calls_the_tools_of_an_environment(rollouts: dict[str, list[Row]], agent: str) -> None:
    results = rollouts[f"tools_{agent}"]
    assert [result["reward"] for result in results] == [reward for _, reward in rows_with_rewards(TOOLS)]
    called = {item["name"] for result in results for item in result["response"]["output"] if "arguments" in item}
    assert called == {"get_synonym_value", "extract_synonym_values"}
