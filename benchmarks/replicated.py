"""Throughput of a CPU-bound verifier over its replicas, scaled by ``gymctl scale`` while the stack runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import gymctl
from benchmarks.sides import Side

NAME = "gymctl-bench-replicas"
REPLICAS = (1, 2, 4)
VERIFY_MS = 40
LIMITS = {"": "", ", a quarter of a core each": "resources: {cpus: 0.25}"}  # the second: as if on machines of their own

_APP = '''\
"""A verifier that computes on its event loop."""

import time
from typing import ClassVar

from gymctl.server import ResourcesServer, VerifyRequest, VerifyResponse


class Computing(ResourcesServer):
    """Takes that much of a core for every verdict."""

    stateless: ClassVar[bool] = True

    async def verify(self, body: VerifyRequest) -> VerifyResponse:
        """Reward 1.0."""
        until = time.thread_time() + {seconds}
        while time.thread_time() < until:
            pass
        return VerifyResponse.of(body, reward=1.0)


if __name__ == "__main__":
    Computing.serve()
'''
_STACK = """\
config_paths: [responses_api_models/scripted_model/configs/scripted_model.yaml]
head_server: {{host: 127.0.0.1, port: {port}}}
verifier:
  {limit}
  resources_servers: {{computing: {{entrypoint: app.py, domain: other}}}}
agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {{type: resources_servers, name: verifier}}
      model_server: {{type: responses_api_models, name: policy_model}}
"""


def measure(
    side: Side, limit: str, count: int, repeats: int, concurrency: int
) -> Iterator[tuple[int, dict[str, float]]]:
    """The number of replicas, and rollouts per second in the collector's own view of time; in turn.

    ``limit`` is YAML in the verifier's entry: what each replica may use.
    """
    folder = _stack(side, limit)
    (folder / "rows.jsonl").write_text('{"responses_create_params": {"input": "Say yes."}}\n')
    try:
        gymctl(side, folder, "up", "stack.yaml", "--name", NAME)
        _collect(side, folder, 50, concurrency)  # the first rollouts import
        for _ in range(repeats):
            for replicas in REPLICAS:
                gymctl(side, folder, "scale", f"verifier={replicas}")
                yield replicas, _collect(side, folder, count, concurrency)
    finally:
        gymctl(side, folder, "down", check=False)


def _stack(side: Side, limit: str) -> Path:
    folder = side.folder / ("limited" if limit else "whole")
    server = folder / "resources_servers" / "computing"
    server.mkdir(parents=True)
    (server / "app.py").write_text(_APP.format(seconds=VERIFY_MS / 1000))
    (folder / "stack.yaml").write_text(_STACK.format(port=side.port, limit=limit))
    return folder


def _collect(side: Side, folder: Path, count: int, concurrency: int) -> dict[str, float]:
    arguments = ["--input", "rows.jsonl", "--output", "out.jsonl", "--agent", "agent", "--force", "--json"]
    sizes = ["--num-repeats", count, "--concurrency", concurrency]
    report = json.loads(gymctl(side, folder, "collect", *arguments, *sizes).stdout)
    return {"rate": report["done"] / report["wall_s"], "failed": report["failed"]}
