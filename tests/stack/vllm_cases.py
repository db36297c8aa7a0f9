"""Stacks with ``vllm:`` blocks, and what Docker needs to know of their GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gymctl.config import Config, load_config
from gymctl.stack import StackOptions, StackPlan, compose_document, plan_stack
from gymctl.stack.compose.model import Service
from gymctl.stack.compose.rules import check_document

SERVER = """
policy_model:
  responses_api_models:
    vllm_model:
      entrypoint: app.py
      return_token_id_information: true
      uses_reasoning_parser: true
"""


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        app = path / "responses_api_models" / "vllm_model" / "app.py"
        app.parent.mkdir(parents=True)
        app.write_text("")
        (path / "server.yaml").write_text(SERVER)

    def config(self, block: str, *arguments: str) -> Config:
        (self.path / "vllm.yaml").write_text(block)
        return load_config(["server.yaml", "vllm.yaml", *arguments], cwd=self.path, environ={})

    def plan(self, block: str, *arguments: str) -> StackPlan:
        return plan_stack(self.config(block, *arguments), name="s", options=StackOptions(version="1"))

    def services(self, block: str, *arguments: str) -> dict[str, Service]:
        """The document's services, which keep the schema and every rule."""
        document = compose_document(self.plan(block, *arguments))
        assert check_document(document) == []
        return document.services


def reserved(**device: Any) -> list[dict[str, Any]]:
    return [{"capabilities": ["gpu"], "driver": "nvidia", **device}]


# What Docker needs: for each service, its GPUs; and what vLLM is told of them.
TABLE: list[tuple[str, dict[str, list[dict[str, Any]]], dict[str, str]]] = [
    ("", {"vllm": reserved(count=1)}, {}),
    ("gpus: 1", {"vllm": reserved(count=1)}, {}),
    ("gpu_ids: [3]", {"vllm": reserved(device_ids=["3"])}, {}),
    ("gpu_ids: [GPU-8a1f]", {"vllm": reserved(device_ids=["GPU-8a1f"])}, {}),
    ("tensor_parallel_size: 2", {"vllm": reserved(count=2)}, {"tensor": "2"}),
    ("data_parallel_size: 2", {"vllm": reserved(count=2)}, {"data": "2"}),
    ("pipeline_parallel_size: 2, gpus: 2", {"vllm": reserved(count=2)}, {"pipeline": "2"}),
    ("tensor_parallel_size: 2, gpu_ids: [1, 3]", {"vllm": reserved(device_ids=["1", "3"])}, {"tensor": "2"}),
    ("instances: 2", {"vllm-1": reserved(device_ids=["0"]), "vllm-2": reserved(device_ids=["1"])}, {}),
    (
        "instances: 2, gpu_ids: [4, 2]",
        {"vllm-1": reserved(device_ids=["4"]), "vllm-2": reserved(device_ids=["2"])},
        {},
    ),
    ("tensor_parallel_size: 8", {"vllm": reserved(count=8)}, {"tensor": "8"}),
    ("data_parallel_size: 8", {"vllm": reserved(count=8)}, {"data": "8"}),
    ("tensor_parallel_size: 4, data_parallel_size: 2", {"vllm": reserved(count=8)}, {"tensor": "4", "data": "2"}),
    (
        "tensor_parallel_size: 4, instances: 2, gpus: 4",
        {"vllm-1": reserved(device_ids=["0", "1", "2", "3"]), "vllm-2": reserved(device_ids=["4", "5", "6", "7"])},
        {"tensor": "4"},
    ),
    (
        "instances: 8",
        {f"vllm-{number}": reserved(device_ids=[str(number - 1)]) for number in range(1, 9)},
        {},
    ),
]
