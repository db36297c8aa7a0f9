"""Clients of NeMo Gym 0.7.0 and 0.4.0, unmodified, collect from a stack of our servers.

``GYMCTL_UPSTREAM_07_PYTHON`` and ``GYMCTL_UPSTREAM_PYTHON`` name an interpreter with each release.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_stack import EXAMPLE, Gymctl
from free_ports import free_port
from upstream_client import PYTHONS, client_rewards, interpreter

pytestmark = [pytest.mark.upstream, pytest.mark.processes]

REWARDS = [1.0] * 8 + [0.0] * 2


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> Path:
    """An interpreter with NeMo Gym in it, one for each release."""
    return interpreter(request.param)


@pytest.fixture
def head_port(gymctl: Gymctl, folder: Path) -> Iterator[int]:
    """The port of the head of a running quickstart stack."""
    port = free_port()
    started = gymctl("up", EXAMPLE, "--engine", "local", f"+head_server.port={port}")
    assert started.code == 0, started
    yield port
    gymctl("down")


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("release", PYTHONS)
def test_run_examples(release: str, head_port: int) -> None:
    assert client_rewards(release, "127.0.0.1", head_port, EXAMPLE / "rows.jsonl") == REWARDS


def test_eval_run_without_servers_of_its_own(python: Path, head_port: int, folder: Path) -> None:
    head = ["+head_server.host=127.0.0.1", f"+head_server.port={head_port}"]
    files = ["--input", EXAMPLE / "rows.jsonl", "--output", folder / "out.jsonl"]
    run(python.parent / "gym", "eval", "run", "--no-serve", *files, *head)
    results = sorted(read(folder / "out.jsonl"), key=lambda row: row["_ng_task_index"])
    assert [row["reward"] for row in results] == REWARDS
    metrics = json.loads((folder / "out_aggregate_metrics.json").read_text())
    assert sorted(agent["agent_metrics"]["mean/reward"] for agent in metrics) == [0.6, 1.0]


def test_env_status(python: Path, head_port: int) -> None:
    head = ["+head_server.host=127.0.0.1", f"+head_server.port={head_port}"]
    assert "5 servers found (5 healthy, 0 unhealthy)" in run(python.parent / "gym", "env", "status", *head)


SITE = "lib/python3.13/site-packages"
TURN_FIELDS = {"entrypoint": "app.py", "cleanup_timeout_seconds": 30, "resources_tool_transports": ["direct_http"]}


def stack_values(port: int) -> dict[str, Any]:
    """The configuration that the head gives its clients."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/global_config_dict_yaml") as reply:
        return dict(yaml.safe_load(json.load(reply)))


@contextmanager
def their_server(python: Path, values: dict[str, Any], name: str, kind: str, implementation: str) -> Iterator[None]:
    """A server of the installed NeMo Gym, running as its own process until it is no longer needed."""
    folder = python.parents[1] / SITE / kind / implementation
    environ = {**os.environ, "NEMO_GYM_CONFIG_DICT": yaml.safe_dump(values), "NEMO_GYM_CONFIG_PATH": name}
    process = subprocess.Popen(
        [str(python), "app.py"], cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        fields = values[name][kind][implementation]
        deadline = time.monotonic() + 90
        while True:
            assert process.poll() is None, process.communicate()[0][-3000:]
            assert time.monotonic() < deadline
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{fields['port']}/").close()
                break
            except OSError:
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(20)


def episode_rewards(port: int, resources: str, rows: list[dict[str, Any]]) -> list[float]:
    """The rewards of rows that an environment server is given as episodes."""
    rewards = []
    for index, row in enumerate(rows):
        columns = {key: value for key, value in row.items() if key != "agent_ref"}
        task = {"task_id": {"taskset": resources, "task_id": str(index)}, "task_input": columns}
        body = {"episode_id": {"rollout_id": f"{index}-0", "attempt": 0}, "task": task}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/run", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            answer = json.load(reply)
        assert answer["failure"] is None, answer["failure"]
        rewards.append(answer["result"]["reward"])
    return rewards


@pytest.mark.parametrize("whose", ["ours", "theirs"])
@pytest.mark.parametrize("tool", ["example_single_tool_call", "example_multi_step"])
def test_an_environment_server_takes_rollouts_through_our_servers(head_port: int, whose: str, tool: str) -> None:
    python = Path(os.environ.get(PYTHONS["0.7.0"]) or pytest.skip("no interpreter with nemo-gym 0.7.0"))
    values = stack_values(head_port)
    agent = f"{tool}_simple_agent"
    fields = values[agent]["responses_api_agents"]["simple_agent"]
    rows = [row for row in read(EXAMPLE / "rows.jsonl") if row["agent_ref"]["name"] == agent]
    turn = {**TURN_FIELDS, "host": "127.0.0.1", "port": free_port(), "resources_server": fields["resources_server"]}
    with ExitStack() as started:
        if whose == "theirs":
            values["other"] = {"responses_api_agents": {"simple_agent": {**fields, "port": free_port()}}}
            started.enter_context(their_server(python, values, "other", "responses_api_agents", "simple_agent"))
            agent = "other"
        turn["agent_server"] = {"type": "responses_api_agents", "name": agent}
        values["turn"] = {"environment_servers": {"single_agent_turn": turn}}
        started.enter_context(their_server(python, values, "turn", "environment_servers", "single_agent_turn"))
        rewards = episode_rewards(turn["port"], fields["resources_server"]["name"], rows)
    assert rewards == ([1.0] * 5 if tool == "example_single_tool_call" else REWARDS[5:])
