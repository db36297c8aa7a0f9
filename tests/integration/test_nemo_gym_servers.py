"""Servers of the `nemo-gym` wheel, no file changed, beside our own: alone, mixed in both directions, asked by their own
command line. One stack for all, since each of their servers takes seconds to import.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from fake_openai import endpoint
from gym_stack import (
    AGENTS,
    ENVIRONMENTS,
    VERSIONS,
    VLLM_AGENTS,
    Row,
    examples,
    gymctl,
    reference,
    stack_of,
)

pytestmark = [pytest.mark.docker, pytest.mark.upstream]

REPEATS = 10
ALL_AGENTS = {**AGENTS, **VLLM_AGENTS}
# Made anew by each server, or when it was made; and which of the agents it was.
UNLIKE = {"id", "call_id", "created_at", "_gymctl_timing", "_ng_task_index", "agent_ref"}

Rollouts = dict[str, dict[tuple[str, int, int], Row]]
"""Agent -> {(environment, example, repeat): rollout}."""


class GymStack(NamedTuple):
    """A running stack, and what ``gymctl up`` printed."""

    directory: Path
    project: str
    port: int
    output: str


def collected(directory: Path, agents: Sequence[str]) -> Rollouts:
    """One row for each example and agent, ``REPEATS`` times: agent -> {(environment, example, repeat): rollout}."""
    rows, places = [], []
    for name in agents:
        for environment in ENVIRONMENTS:
            for number, row in enumerate(examples(environment)):
                rows.append({**row, "agent_ref": reference("responses_api_agents", f"{name}_{environment}")})
                places.append((name, environment, number))
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--input", "rows.jsonl", "--output", "rollouts.jsonl", "--num-repeats", REPEATS, "--force"]
    gymctl(directory, "collect", *options)
    rollouts: Rollouts = {name: {} for name in agents}
    for line in (directory / "rollouts.jsonl").read_text().splitlines():
        rollout = json.loads(line)
        name, environment, number = places[rollout["_ng_task_index"]]
        rollouts[name][environment, number, rollout["_ng_rollout_index"]] = rollout
    return rollouts


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """The release of NeMo Gym; the first one is the default."""
    release: str = request.param
    return release


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, version: str) -> Iterator[GymStack]:
    import socket

    directory = tmp_path_factory.mktemp("upstream")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with endpoint() as model_port:
        whole = stack_of(f"http://localhost:{model_port}/v1", port, ALL_AGENTS)
        (directory / "stack.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
        try:
            chosen = [] if version == VERSIONS[0] else ["--gym-version", version]
            up = ["up", "stack.yaml", "--name", f"gymtest-{os.getpid()}-nemo", *chosen]
            result = gymctl(directory, *up, timeout=900)
            yield GymStack(directory, f"gymtest-{os.getpid()}-nemo", port, result)
        finally:
            if (directory / ".gymctl" / "stack.json").exists():
                gymctl(directory, "down")


@pytest.fixture(scope="module")
def rollouts(stack: GymStack) -> Rollouts:
    return collected(stack.directory, list(ALL_AGENTS))


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two values differ; a field that only one of them has is no difference, nor one that is null in either."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() & other.keys() - UNLIKE:
            yield from differences(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (first, second) in enumerate(zip(one, other, strict=True)):
            yield from differences(first, second, f"{path}[{number}]")
    elif one != other and one is not None and other is not None:
        yield f"{path}: {one!r} != {other!r}"


def outline(rollout: Row) -> list[Any]:
    """What happened, whatever the fields are called: calls, their outputs, texts; and the reward."""
    steps = [
        [
            item.get("name"),
            item.get("arguments"),
            item.get("output"),
            [part["text"] for part in item.get("content", ())],
        ]
        for item in rollout["response"]["output"]
    ]
    return [*steps, rollout["reward"]]


def test_their_rollouts_equal_ours(rollouts: Rollouts) -> None:
    theirs, ours = rollouts["theirs"], rollouts["ours"]
    assert len(theirs) == len(ours) == 2 * 5 * REPEATS == 100
    assert {rollout["reward"] for rollout in ours.values()} == {1.0}
    unlike = {key: unequal for key in theirs if (unequal := list(differences(theirs[key], ours[key])))}
    assert unlike == {}


@pytest.mark.parametrize("name", [name for name in ALL_AGENTS if "_on_" in name])
def test_agents_work_with_the_servers_of_the_other_side(rollouts: Rollouts, name: str) -> None:
    mixed, ours = rollouts[name], rollouts["ours"]
    assert mixed.keys() == ours.keys()
    assert [key for key in mixed if outline(mixed[key]) != outline(ours[key])] == []


def test_nothing_of_theirs_was_changed_and_no_ray_was_needed(stack: GymStack, version: str) -> None:
    directory, project, _, result = stack
    services = yaml.safe_load((directory / "compose.yaml").read_text())["services"]
    assert "ray-head" not in services
    assert f"NeMo Gym ({version} from PyPI) runs" in result
    ask = "import importlib.metadata as m, nemo_gym; print(m.version('nemo-gym'), nemo_gym.__file__)"
    done = _in_their_image(project, stack, "python", "-c", ask)
    assert done.startswith(f"{version} /opt/venv/")


def _in_their_image(project: str, stack: GymStack, *command: str) -> str:
    """Run a command beside the stack, as a user of NeMo Gym who joins its network."""
    services = yaml.safe_load((stack.directory / "compose.yaml").read_text())["services"]
    image = services["their_model"]["image"]
    data = stack.directory / "data"
    data.mkdir(exist_ok=True)
    data.chmod(0o777)
    argv = [
        "docker",
        "run",
        "--rm",
        "--network",
        f"container:{project}-head-1",
        "--volume",
        f"{data}:/data",
        "--workdir",
        "/tmp",
    ]
    done = subprocess.run([*argv, image, *command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("agents", ["ours", "theirs"])
def test_their_command_line_collects_from_our_stack(stack: GymStack, rollouts: Rollouts, agents: str) -> None:
    directory, project, port, _ = stack
    data = directory / "data"
    data.mkdir(exist_ok=True)
    rows = [
        {**row, "agent_ref": reference("responses_api_agents", f"{agents}_{environment}")}
        for environment in ENVIRONMENTS
        for row in examples(environment)
    ]
    (data / f"{agents}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [
        "gym",
        "eval",
        "run",
        "--no-serve",
        "--input",
        f"/data/{agents}.jsonl",
        "--output",
        f"/data/{agents}_out.jsonl",
    ]
    _in_their_image(project, stack, *command, "+head_server.host=head", f"+head_server.port={port}")
    results = [json.loads(line) for line in (data / f"{agents}_out.jsonl").read_text().splitlines()]
    assert sorted(rollout["_ng_task_index"] for rollout in results) == list(range(10))
    assert {rollout["reward"] for rollout in results} == {1.0}
    metrics = json.loads((data / f"{agents}_out_aggregate_metrics.json").read_text())
    assert {entry["key_metrics"]["mean/reward"] for entry in metrics} == {1.0}


def test_their_client_finds_servers_through_our_head(stack: GymStack) -> None:
    directory, project, port, _ = stack
    (directory / "data").mkdir(exist_ok=True)
    script = f"""
import asyncio
from nemo_gym.server_utils import BaseServerConfig, ServerClient

async def main():
    client = ServerClient.load_from_global_config(BaseServerConfig(host="head", port={port}))
    for name in ("our_model", "their_model", "our_vllm", "their_vllm"):
        reply = await client.post(name, "/v1/responses", json={{"input": "hello"}})
        print(name, reply.status, (await reply.json())["object"], client.poll_for_status(name))

asyncio.run(main())
"""
    (directory / "data" / "ask.py").write_text(script)
    lines = _in_their_image(project, stack, "python", "/data/ask.py").splitlines()
    assert [line for line in lines if " 200 response success" in line] == lines[-4:]
    status = _in_their_image(
        project, stack, "gym", "env", "status", "+head_server.host=head", f"+head_server.port={port}"
    )
    servers = len(Path(directory, "stack.yaml").read_text().split("entrypoint:")) - 1
    assert f"{servers} servers found ({servers} healthy, 0 unhealthy)" in status
