"""Limits that every container has: memory, processes, size of ``/tmp``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gymctl.config.sizes import size_in_bytes
from gymctl.operations.configuration import PlanOptions, load, plan
from gymctl.stack.render import compose_document

pytestmark = pytest.mark.unit

_GB = 1024**3
_STACK = """
ours:
  resources_servers:
    comp_coding: {entrypoint: app.py, domain: coding, __}
policy_model:
  responses_api_models:
    scripted_model: {entrypoint: app.py, actions: []}
my_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: ours}
      model_server: {type: responses_api_models, name: policy_model}
"""


def _services(folder: Path, settings: str = "replicas: 1", extra: str = "") -> dict[str, dict[str, Any]]:
    (folder / "stack.yaml").write_text(_STACK.replace("__", settings) + extra)
    config = load("stack.yaml", directory=folder, environ={})
    return compose_document(plan(config, PlanOptions(name="demo"))).plain()["services"]  # type: ignore[no-any-return]


def _memory(service: dict[str, Any]) -> int:
    return size_in_bytes(service["deploy"]["resources"]["limits"]["memory"])


def _pids(service: dict[str, Any]) -> int:
    pids = service["deploy"]["resources"]["limits"]["pids"]
    assert isinstance(pids, int)
    return pids


def _tmp(service: dict[str, Any]) -> int:
    (option,) = service["tmpfs"]
    match = re.fullmatch(r"/tmp:(?:\S+,)?size=(\d+m)", option)
    assert match, "Docker takes an integer with k, m or g"
    return size_in_bytes(match[1])


def test_every_server_has_limits_by_kind(tmp_path: Path) -> None:
    services = _services(tmp_path)
    assert {name: _memory(item) // _GB for name, item in services.items()} == {
        "head": 1,
        "policy_model": 4,
        "my_agent": 8,
        "ours": 16,
    }
    for service in services.values():
        assert 0 < _tmp(service) < _memory(service)
        assert _pids(service) >= 512
        assert "cpus" not in service["deploy"]["resources"]["limits"], "Docker refuses more than the machine has"
    weights = {name: service["cpu_shares"] for name, service in services.items()}
    assert weights["head"] > weights["policy_model"] == weights["my_agent"] > weights["ours"]


def test_a_server_sets_its_own_limits(tmp_path: Path) -> None:
    own = _services(tmp_path, "resources: {memory: 3gb, pids: 77, tmp: 1.5 gb}")["ours"]
    assert (_memory(own), _pids(own), _tmp(own)) == (3 * _GB, 77, 3 * _GB // 2)


def test_a_default_leaves_room_for_what_is_asked_for(tmp_path: Path) -> None:
    plain = _services(tmp_path)["ours"]
    assert _memory(_services(tmp_path, "resources: {reserve: {memory: 40gb}}")["ours"]) >= 80 * _GB
    assert _memory(_services(tmp_path, "resources: {tmp: 30gb}")["ours"]) == _memory(plain) + 30 * _GB
    workers = _services(tmp_path, "num_workers: 9")["ours"]
    assert _memory(workers) == _memory(plain) + 8 * _GB
    assert _pids(workers) > _pids(plain)


def test_ray_and_vllm_have_limits_of_their_own(tmp_path: Path) -> None:
    extra = "ray: {workers: 1, memory: 5gb}\nvllm: {model: a/b, profile: cpu, prefetch: true}\n"
    services = _services(tmp_path, extra=extra)
    assert _memory(services["ray-head"]) == _memory(services["ray-worker"]) == 5 * _GB
    assert _pids(services["ray-worker"]) > 10_000
    assert _tmp(services["ray-head"]) > _GB
    for name in ("vllm", "vllm-prefetch"):
        assert list(services[name]["deploy"]["resources"]["limits"]) == ["pids"], "weights decide its memory"
    assert services["vllm"]["tmpfs"][0].startswith("/tmp:exec,mode=1777,size=")


def test_limits_stay_when_a_fragment_has_them_not(tmp_path: Path) -> None:
    """Each rendered service of every example is limited, proxies and add-ons too."""
    for path in sorted(Path("examples").glob("*/compose.expected.yaml")):
        for name, service in yaml.safe_load(path.read_text())["services"].items():
            limits = service["deploy"]["resources"]["limits"]
            assert limits["pids"], f"{path}: {name}"
            assert service["cpu_shares"], f"{path}: {name}"
            assert service["ulimits"]["nofile"], f"{path}: {name}"
            assert "memory" in limits or service["labels"]["gymctl.kind"] == "vllm", f"{path}: {name}"
            assert service["logging"]["options"]["max-size"], f"{path}: {name}"
