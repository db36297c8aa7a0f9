"""What is said of GPUs before Docker is asked: none, too few, other ones, no runtime."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol

import pytest

from gymctl.config import VllmBlock
from gymctl.engines.docker.gpus import (
    Gpu,
    Wish,
    check_gpus,
    check_hub_heads,
    gpu_problems,
    gpus_here,
    has_nvidia,
    wished,
)
from gymctl.errors import ConfigError
from gymctl.stack import ServicePlan
from gymctl.stack.compose.model import Device, ResourceBounds, Resources

TWO = (Gpu("0", "GPU-a"), Gpu("1", "GPU-b"))
NVIDIA: dict[str, Any] = {"Runtimes": {"runc": {}, "nvidia": {}}}

WITHOUT_GPU = ServicePlan("n", "k", "i", "p", 1)


class InstallDriver(Protocol):
    """Installs a driver for GPUs with these UUIDs."""

    def __call__(self, *uuids: str) -> None: ...


def service(name: str, **device: object) -> ServicePlan:
    resources = Resources(devices=[Device.model_validate({"capabilities": ["gpu"], "driver": "nvidia", **device})])
    return ServicePlan(name, "vllm", "m", "i", 8000, "", "", (), "", bounds=ResourceBounds(reservations=resources))


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallDriver:
    """A command ``nvidia-smi`` that prints what a driver with these GPUs prints; no machine of the tests has one."""

    def install(*uuids: str) -> None:
        rows = "".join(f"{number}, {uuid}\\n" for number, uuid in enumerate(uuids))
        command = tmp_path / "nvidia-smi"
        command.write_text(f"#!/bin/sh\nprintf '{rows}'\n")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return install


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"Runtimes": {"runc": {}}}, False),
        (NVIDIA, True),
        ({"Runtimes": {}, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, True),
        ({"DiscoveredDevices": None}, False),
    ],
)
def test_what_an_engine_says_of_nvidia(info: dict[str, Any], expected: bool) -> None:
    assert has_nvidia(info) is expected


def test_the_gpus_of_this_machine(smi: InstallDriver) -> None:
    smi("GPU-a", "GPU-b")
    assert gpus_here() == TWO


def test_the_wishes_are_those_of_the_plan() -> None:
    services = [service("a", count=2), service("b", device_ids=["0", "1"]), WITHOUT_GPU]
    assert list(wished(services)) == [Wish("a", 2, ()), Wish("b", None, ("0", "1"))]


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        (Wish("v", 1, ()), None),
        (Wish("v", 2, ()), None),
        (Wish("v", "all", ()), None),
        (Wish("v", None, ("1", "GPU-a")), None),
        (Wish("v", 8, ()), "GYM034 v requests 8 GPUs, but this machine has 2"),
        (Wish("v", None, ("0", "2", "GPU-z")), "GYM034 v: this machine has no GPU 2, GPU-z; available: 0, 1"),
    ],
)
def test_more_gpus_than_there_are(wish: Wish, problem: str | None) -> None:
    problems = [str(item) for item in gpu_problems([wish], TWO, has_runtime=True)]
    assert len(problems) == (problem is not None)
    if problem is not None:
        assert problems[0].startswith(problem)


def test_nobody_knows_the_gpus_of_another_machine() -> None:
    assert list(gpu_problems([Wish("v", 64, ())], None, has_runtime=True)) == []


def test_gpus_without_the_runtime(smi: InstallDriver) -> None:
    smi("GPU-a")
    with pytest.raises(
        ConfigError, match="GYM035 v: this machine has 1 GPUs, but Docker has no NVIDIA runtime"
    ) as caught:
        check_gpus([service("v", count=1)], {"Runtimes": {"runc": {}}}, is_here=True)
    assert "install the NVIDIA Container Toolkit" in str(caught.value)


def test_a_driver_without_gpus(smi: InstallDriver) -> None:
    smi()
    with pytest.raises(ConfigError, match="GYM035 v: nvidia-smi finds no GPU"):
        check_gpus([service("v", count=1)], NVIDIA, is_here=True)


def test_a_stack_without_gpus_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    check_gpus([WITHOUT_GPU], {}, is_here=True)


def test_heads_of_a_model_in_the_cache(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--org--big" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"text_config": {"num_attention_heads": 40}}))
    environ = {"HF_HOME": str(tmp_path)}
    check_hub_heads([VllmBlock(model="org/big", tensor_parallel_size=8)], environ)
    check_hub_heads([VllmBlock(model="org/unknown", tensor_parallel_size=16)], environ)
    with pytest.raises(ConfigError, match="GYM033 tensor_parallel_size is 16, but the model has 40 attention heads"):
        check_hub_heads([VllmBlock(model="org/big", tensor_parallel_size=16)], environ)
