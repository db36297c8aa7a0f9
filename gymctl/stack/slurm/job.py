"""A stack as a Slurm job: its servers on CPU nodes, its models on GPU nodes, as a batch script.

No containers: each CPU node runs ``gymctl up --engine local`` with its part of the configuration, and the servers find
each other through the head, as on several machines without a Swarm.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gymctl.config import Config, ServerInstance, ServerKind, VllmBlock
from gymctl.config.vocabulary import RAY_ADDRESS_KEY, RAY_BLOCK, is_this_machine
from gymctl.errors import Problem
from gymctl.stack.addons.vllm import serve_arguments
from gymctl.stack.templates import render_template

_PORT = "{PORT}"  # of an instance, known when its step runs


@dataclass(frozen=True)
class SlurmJob:
    """Settings of a batch script in addition to the configuration."""

    name: str
    """Name of the job and of the stack."""
    arguments: tuple[str, ...]
    """Files and overrides, valid in ``directory``."""
    directory: str
    """Absolute path of the folder that relative paths of the configuration refer to."""
    options: tuple[str, ...] = ()
    """Further options of ``gymctl up``."""
    cpu_nodes: int = 1
    """Nodes for the servers."""


@dataclass(frozen=True)
class _Instance:
    """One vLLM of a block."""

    block: str
    command: str
    """Its command, quoted for a shell."""
    is_gpu: bool
    group: int
    """Component of the job that it runs in."""


def slurm_problems(config: Config, cpu_nodes: int) -> Iterator[Problem]:
    """What keeps a configuration from being a job."""
    if config.membership is not None:
        yield Problem("", "a Slurm job chooses the role of each node", "remove --role")
    if cpu_nodes > 1 and len(environments(config)) < cpu_nodes - 1:
        message = f"{cpu_nodes} CPU nodes, but only {len(environments(config))} environments to distribute"
        yield Problem("", message, f"use --cpu-nodes {len(environments(config)) + 1} or fewer")
    for server in config.started.values():
        if not is_this_machine(server.host):
            message = f"{server.name}: `host` is {server.host}, but the nodes of a job are known only when it runs"
            yield Problem(str(server.location or ""), message, "remove `host`")


def environments(config: Config) -> list[str]:
    """The servers that may run on further nodes: those that run tools and code."""
    return [server.name for server in config.started.values() if server.kind is ServerKind.RESOURCES]


def parts(config: Config, cpu_nodes: int) -> list[tuple[str, ...]]:
    """The servers of each CPU node: environments in turn on all but the first, everything else on the first."""
    movable = environments(config) if cpu_nodes > 1 else []
    first = tuple(name for name in config.started if name not in movable)
    others = [tuple(movable[start :: cpu_nodes - 1]) for start in range(cpu_nodes - 1)]
    return [first, *others]


def render_slurm(config: Config, job: SlurmJob) -> str:
    """The batch script of a stack.

    Args:
        config: the configuration; ``slurm_problems`` finds none.
        job: how it runs.
    """
    instances = list(_instances(config))
    nodes = parts(config, job.cpu_nodes)
    return render_template(
        "slurm.sh.j2",
        job=job,
        head_port=config.head.port,
        gpu_components=_gpu_components(config),
        instances=instances,
        node_arguments=[_node_arguments(config, own) for own in nodes],
        overrides=shlex.join(_overrides(config)),
        endpoints=list(_endpoints(config, instances)),
        starts_ray=_starts_ray(config),
        ray_key=RAY_ADDRESS_KEY,
    )


def _starts_ray(config: Config) -> bool:
    return config.ray is not None and not config.values.get(RAY_ADDRESS_KEY)


def _gpu_components(config: Config) -> list[dict[str, Any]]:
    """One component of the job for each block that needs GPUs: tasks, and GPUs of each."""
    return [{"tasks": block.instances, "gpus": block.gpus_each} for block in config.vllm.values() if _is_gpu(block)]


def _is_gpu(block: VllmBlock) -> bool:
    return block.profile == "gpu"


def _instances(config: Config) -> Iterator[_Instance]:
    group = 0
    for block in config.vllm.values():
        if _is_gpu(block):
            group += 1
        for _ in range(block.instances):
            yield _Instance(
                block=block.title,
                command=_command(block),
                is_gpu=_is_gpu(block),
                group=group if _is_gpu(block) else 0,
            )


def _command(block: VllmBlock) -> str:
    """``vllm serve`` with the block's environment; the port is a variable of the shell."""
    variables = [f"{name}={value}" for name, value in block.environment.items()]
    command = shlex.join(["env", *variables, "vllm", "serve", *serve_arguments(block, _PORT)])
    return command.replace(shlex.quote(_PORT), '"$port"')


def _node_arguments(config: Config, own: Sequence[str]) -> str:
    """Overrides that remove the servers of other nodes."""
    return shlex.join([f"++{name}=null" for name in config.started if name not in own])


def _overrides(config: Config) -> Iterator[str]:
    """Overrides for every node: the script starts vLLM and Ray, not the engine."""
    if config.vllm:
        yield "++vllm=null"
    for server in _callers(config):
        if "vllm" in server.fields:
            yield f"++{'.'.join(server.path)}.vllm=null"
        for key in ("api_key", "model"):
            yield f"++{'.'.join(server.path)}.{key}={json.dumps(server.fields[key])}"
    if _starts_ray(config):
        yield f"++{RAY_BLOCK}=null"


def _callers(config: Config) -> Iterator[ServerInstance]:
    """The model servers that call a model of the stack."""
    urls = {url for block in config.vllm.values() for url in block.urls}
    for server in config.started.values():
        if urls.intersection(server.base_urls):
            yield server


def _endpoints(config: Config, instances: Sequence[_Instance]) -> Iterator[dict[str, Any]]:
    """For each server that calls a model of the stack: the key to set, and the numbers of the instances."""
    blocks = {block.title: set(block.urls) for block in config.vllm.values()}
    for server in _callers(config):
        called = set(server.base_urls)
        numbers = [index for index, item in enumerate(instances) if blocks[item.block] & called]
        path = ".".join(server.path)
        yield {"key": f"++{path}.base_url", "numbers": numbers}
