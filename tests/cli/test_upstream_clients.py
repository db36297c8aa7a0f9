"""Clients of NeMo Gym 0.7.0 and 0.4.0, unmodified, collect from a stack of our servers.

``GYMCTL_UPSTREAM_07_PYTHON`` and ``GYMCTL_UPSTREAM_PYTHON`` name an interpreter with each release.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_stack import EXAMPLE, Said, free_port

pytestmark = [pytest.mark.upstream, pytest.mark.processes]

PYTHONS = {"0.7.0": "GYMCTL_UPSTREAM_07_PYTHON", "0.4.0": "GYMCTL_UPSTREAM_PYTHON"}
REWARDS = [1.0] * 8 + [0.0] * 2
CLIENT = """
import asyncio, json, sys
from nemo_gym.rollout_collection import RolloutCollectionHelper
from nemo_gym.server_utils import BaseServerConfig

port, rows = int(sys.argv[1]), [json.loads(line) for line in open(sys.argv[2])]
for index, row in enumerate(rows):
    row.update(_ng_task_index=index, _ng_rollout_index=0)

async def main():
    head = BaseServerConfig(host="127.0.0.1", port=port)
    futures = RolloutCollectionHelper().run_examples(rows, head_server_config=head)
    done = [await future for future in futures]
    print(json.dumps([result["reward"] for _, result in sorted(done, key=lambda pair: pair[0]["_ng_task_index"])]))

asyncio.run(main())
"""


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> Path:
    """An interpreter with NeMo Gym in it, one for each release."""
    variable = PYTHONS[request.param]
    interpreter = os.environ.get(variable)
    if not interpreter:
        pytest.skip(f"{variable} names no interpreter with nemo-gym {request.param} in it")
    return Path(interpreter)


@pytest.fixture
def head_port(gymctl: Callable[..., Said], folder: Path) -> Iterator[int]:
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


def test_run_examples(python: Path, head_port: int) -> None:
    printed = run(python, "-c", CLIENT, head_port, EXAMPLE / "rows.jsonl")
    assert json.loads(printed.splitlines()[-1]) == REWARDS


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
