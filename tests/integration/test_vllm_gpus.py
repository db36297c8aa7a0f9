"""GPU services as Docker Compose reads them, and ``gymctl up`` on a machine that has no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import Folder as CommandLine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "stack"))

from vllm_cases import SERVER, TABLE, Folder

from gymctl.engines.docker.daemon import connect
from gymctl.engines.docker.gpus import gpus_here, has_nvidia
from gymctl.stack import render_stack

pytestmark = pytest.mark.docker


def as_docker_reads(directory: Path, text: str) -> dict[str, Any]:
    (directory / "compose.yaml").write_text(text, encoding="utf-8")
    command = ["docker", "compose", "-f", "compose.yaml", "config", "--format", "json"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(("block", "expected", "settings"), TABLE, ids=[row[0] or "nothing said" for row in TABLE])
def test_docker_compose_reads_the_same_gpus(
    tmp_path: Path, block: str, expected: dict[str, list[dict[str, Any]]], settings: dict[str, str]
) -> None:
    text = render_stack(Folder(tmp_path).plan(f"vllm: {{model: Qwen/Qwen3-8B, prefetch: true, {block}}}"))
    services = as_docker_reads(tmp_path, text)["services"]
    for name, devices in expected.items():
        assert services[name]["deploy"]["resources"]["reservations"]["devices"] == devices
        assert services[name]["shm_size"] == str(16 * 2**30)
        assert services[name]["depends_on"]["vllm-prefetch"]["condition"] == "service_completed_successfully"
        for kind, size in settings.items():
            words = services[name]["command"]
            assert words[words.index(f"--{kind}-parallel-size") + 1] == size


def test_up_without_a_gpu_says_so_before_docker_does(tmp_path: Path, free_port: int) -> None:
    if gpus_here() or has_nvidia(connect().info()):
        pytest.skip("this machine has a GPU, or Docker an NVIDIA runtime")
    folder = CommandLine(tmp_path / "stack", free_port)
    folder.path.mkdir()
    (folder.path / "stack.yaml").write_text(f"{SERVER}\nvllm: {{model: Qwen/Qwen3-8B, tensor_parallel_size: 8}}\n")
    done = folder.up("stack.yaml")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: GYM035 vllm: nvidia-smi finds no GPU, and Docker has no NVIDIA runtime; "
        "use `profile: cpu` (++vllm.profile=cpu), or a machine with GPUs; "
        "with GPUs here: install the NVIDIA Container Toolkit and restart Docker"
    )
    assert folder.left() == []
    assert folder.files() == {"stack.yaml"}
    assert folder.gymctl("render", "stack.yaml").returncode == 0
