"""Which GPUs each vLLM service gets, and what cannot be: too few, too many, one of them twice.

GYM030 parallel sizes that do not come to the number of GPUs     GYM033 attention heads that are not divided evenly
GYM031 gpu_ids that are not as many as the instances need        GYM034 more GPUs than this machine has
GYM032 one GPU promised to two services                          GYM035 no NVIDIA runtime, or no GPU at all

The last two are asked of the machine before anything is started (``gymctl.engines.docker.gpus``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from gymctl.config.diagnostics import Findings
from gymctl.config.vllm.served_model import VllmBlock

DEFAULT_UTILIZATION = 0.92  # of vLLM 0.32; earlier ones take 0.9
GPU_KEYS = "gpus gpu_ids gpu_memory_utilization tensor_parallel_size pipeline_parallel_size data_parallel_size".split()


def check_gpus(blocks: Collection[VllmBlock], findings: Findings) -> None:
    """Problems of the GPU blocks, each by itself and together."""
    of_gpus = [block for block in blocks if block.profile == "gpu"]
    for block in of_gpus:
        for key, problem, hint in _own_problems(block):
            findings.problem((*block.path, key), f"{block.title}: {problem}", hint)
    _given_twice(of_gpus, findings)


def _own_problems(block: VllmBlock) -> Iterator[tuple[str, str, str]]:
    """The key, the problem, and the fix."""
    used = block.gpus_used
    ids = len(block.gpu_ids)
    sizes = (
        f"tensor {block.tensor_parallel_size} x pipeline {block.pipeline_parallel_size} x "
        f"data {block.data_parallel_size} = {used}"
    )
    if ids and ids != block.gpus_each * block.instances:
        each = f"{block.gpus_each * block.instances} for {block.instances} instances of {block.gpus_each}"
        yield (
            "gpu_ids",
            f"GYM031 gpu_ids has {ids}, expected {each}",
            "list the GPUs of all instances, in order",
        )
    elif block.gpus_each != used:
        if not ids:
            key = "gpus"
        else:
            key = "gpu_ids"
        problem = f"GYM030 {block.gpus_each} GPUs per instance, but the parallel sizes use {used} ({sizes})"
        if block.gpus_each % used == 0:
            more = block.gpus_each // used
        else:
            more = 0
        hint = f"data_parallel_size: {more * block.data_parallel_size} would use all of them; or request {used}"
        yield key, problem, hint if more else f"request {used}, or change tensor_parallel_size to match"
    if len(set(block.gpu_ids)) < ids:
        again = next(one for one in block.gpu_ids if block.gpu_ids.count(one) > 1)
        yield (
            "gpu_ids",
            f"GYM032 gpu_ids lists {again} twice",
            "give each instance different GPUs",
        )


def _given_twice(blocks: Collection[VllmBlock], findings: Findings) -> None:
    """One GPU for two blocks: possible only if their shares of its memory add up to at most 1."""
    takers: dict[str, list[VllmBlock]] = {}
    for block in blocks:
        for gpu in dict.fromkeys(block.gpu_ids):
            others = takers.setdefault(gpu, [])
            others.append(block)
            parts = [one.gpu_memory_utilization or DEFAULT_UTILIZATION for one in others]
            if len(others) > 1 and sum(parts) > 1.0001:
                shares = " + ".join(f"{part:g}" for part in parts)
                problem = f"{block.title}: GYM032 GPU {gpu} is already used by {others[0].title} (memory {shares} > 1)"
                hint = "choose another GPU, or lower gpu_memory_utilization of both to a total of at most 1"
                findings.problem((*block.path, "gpu_ids"), problem, hint)


def with_gpus(blocks: Mapping[str, VllmBlock]) -> dict[str, VllmBlock]:
    """Numbers for the GPUs that only a count was given for, as soon as there are two services of them.

    Docker gives a service that asks for a count the first ones of the machine, whoever has them already. So a single
    service may ask for a count; several need distinct ids.
    """
    services = sum(block.instances for block in blocks.values() if block.profile == "gpu")
    if services < 2:
        return dict(blocks)
    taken = {gpu for block in blocks.values() for gpu in block.gpu_ids}
    free = (number for number in range(10**6) if str(number) not in taken)
    placed = {}
    for name, block in blocks.items():
        if block.profile == "gpu" and not block.gpu_ids:
            ids = tuple(str(next(free)) for _ in range(block.gpus_each * block.instances))
            block = block.model_copy(update={"gpu_ids": ids})  # noqa: PLW2901
        placed[name] = block
    return placed
