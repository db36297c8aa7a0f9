"""The example that trains: its mean reward rises from below 0.2 to above 0.8, with every weight version checked."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.processes]

EXAMPLE = Path(__file__).parents[2] / "examples" / "train-on-cpu"
VARIABLE = "GYMCTL_TORCH_PYTHON"


def python_with_torch() -> str:
    """An interpreter that has torch: the one that the environment names, else this one."""
    python = os.environ.get(VARIABLE, sys.executable)
    probe = subprocess.run([python, "-c", "import torch, aiohttp, yaml"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"{python} has no torch; {VARIABLE} names an interpreter that has")
    return python


def test_the_reward_rises(tmp_path: Path) -> None:
    python = python_with_torch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shutil.copy(EXAMPLE / "stack.yaml", tmp_path)
    gymctl = [sys.executable, "-m", "gymctl.cli.main"]
    up = [*gymctl, "up", "--engine", "local", "--no-probe", "stack.yaml", f"+head_server.port={port}"]
    subprocess.run(up, cwd=tmp_path, check=True, capture_output=True)
    try:
        train = [python, str(EXAMPLE / "train.py"), "--head", f"http://127.0.0.1:{port}", "--seed", "1"]
        run = subprocess.run(train, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
    finally:
        subprocess.run([*gymctl, "down"], cwd=tmp_path, check=True, capture_output=True)
    rewards = json.loads((tmp_path / "curve.jsonl").read_text())["rewards"]
    assert rewards[0] < 0.2
    assert rewards[-1] > 0.8
    assert (tmp_path / "curve.svg").read_text().startswith("<svg")
