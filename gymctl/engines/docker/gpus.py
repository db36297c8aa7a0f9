"""This machine's GPUs, and whether they suffice for a stack's services: checked before Docker is called.

Docker itself says it late, of one service at a time, and in a sentence that names no next step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from gymctl.config.vllm.files import heads_problem
from gymctl.engines.runner import CommandFailed, run
from gymctl.errors import ConfigError, Problem

if TYPE_CHECKING:
    from gymctl.config import VllmBlock
    from gymctl.stack import ServicePlan

_QUERY = ("nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader")
_HOOK = "nvidia-container-runtime-hook"
_TOOLKIT = "install the NVIDIA Container Toolkit and restart Docker"
_WITHOUT = "use `profile: cpu` (++vllm.profile=cpu), or a machine with GPUs"


@dataclass(frozen=True)
class Gpu:
    """One GPU: its number, as text, and its UUID."""

    index: str
    uuid: str


@dataclass(frozen=True)
class Wish:
    """What one service reserves: a count, or ids."""

    service: str
    count: int | str | None
    ids: tuple[str, ...]


def check_gpus(services: Sequence[ServicePlan], docker_info: Mapping[str, Any], *, is_here: bool) -> None:
    """See that every service can have its GPUs. ``is_here``: whether the Docker engine runs on this machine.

    Raises:
        ConfigError: GYM034 more GPUs than there are, or one that is not; GYM035 no GPU, or no NVIDIA runtime.
    """
    wishes = list(wished(services))
    if not wishes:
        return
    if is_here:
        gpus = gpus_here()
    else:
        gpus = None
    # without being configured as a runtime, the toolkit's hook is enough for what Compose asks
    has_runtime = has_nvidia(docker_info) or (is_here and which(_HOOK) is not None)
    problems = list(gpu_problems(wishes, gpus, has_runtime=has_runtime))
    if problems:
        raise ConfigError(problems)


def wished(services: Sequence[ServicePlan]) -> Iterator[Wish]:
    """The GPUs that services reserve."""
    for service in services:
        for device in service.devices:
            if "gpu" in device.capabilities:
                yield Wish(service.name, device.count, tuple(device.device_ids or ()))


def has_nvidia(docker_info: Mapping[str, Any]) -> bool:
    """Whether an engine can give GPUs: its NVIDIA runtime, or (Docker 28 and later) devices that CDI describes."""
    devices = docker_info.get("DiscoveredDevices") or ()
    return "nvidia" in (docker_info.get("Runtimes") or {}) or any(
        str(device.get("ID", "")).startswith("nvidia.com/gpu") for device in devices
    )


def gpus_here() -> tuple[Gpu, ...] | None:
    """This machine's GPUs as the driver's own command lists them; None when the command is missing."""
    try:
        listed = run(_QUERY, timeout=30).stdout
    except CommandFailed:
        return None
    rows = (line.split(",") for line in listed.splitlines() if line.count(",") == 1)
    return tuple(Gpu(index.strip(), uuid.strip()) for index, uuid in rows)


def gpu_problems(wishes: Sequence[Wish], gpus: Sequence[Gpu] | None, *, has_runtime: bool) -> Iterator[Problem]:
    """Every problem with the requested GPUs; ``gpus`` is None if the machine's GPUs are unknown."""
    names = ", ".join(dict.fromkeys(wish.service for wish in wishes))
    if not has_runtime:
        yield _no_runtime(names, len(gpus or ()))
    elif gpus is not None and not gpus:
        yield Problem("", f"GYM035 {names}: nvidia-smi finds no GPU on this machine", _WITHOUT)
    if not gpus:
        return
    for wish in wishes:
        yield from _wish_problems(wish, gpus)


def _no_runtime(names: str, gpus: int) -> Problem:
    """The containers ``names`` request GPUs, and Docker has no NVIDIA runtime on this machine with ``gpus`` of them."""
    if gpus:
        return Problem(
            "",
            f"GYM035 {names}: this machine has {gpus} GPUs, but Docker has no NVIDIA runtime",
            f"{_TOOLKIT}, or {_WITHOUT}",
        )
    return Problem(
        "",
        f"GYM035 {names}: nvidia-smi finds no GPU, and Docker has no NVIDIA runtime",
        f"{_WITHOUT}; with GPUs here: {_TOOLKIT}",
    )


def _wish_problems(wish: Wish, gpus: Sequence[Gpu]) -> Iterator[Problem]:
    """GPUs of a wish that this machine does not have, by name and by number."""
    known = {name for gpu in gpus for name in (gpu.index, gpu.uuid)}
    missing = [name for name in wish.ids if name not in known and not name.startswith("MIG-")]
    if missing:
        hint = f"available: {', '.join(gpu.index for gpu in gpus)}"
        yield Problem("", f"GYM034 {wish.service}: this machine has no GPU {', '.join(missing)}", hint)
    if isinstance(wish.count, int) and wish.count > len(gpus):
        problem = f"GYM034 {wish.service} requests {wish.count} GPUs, but this machine has {len(gpus)}"
        yield Problem("", problem, "lower tensor_parallel_size or gpus, or use a machine with more GPUs")


def check_hub_heads(blocks: Iterable[VllmBlock], environ: Mapping[str, str]) -> None:
    """See that tensor parallel sizes fit the models whose configuration this machine's Hugging Face cache has.

    Raises:
        ConfigError: GYM033, before the weights are loaded and vLLM reports it.
    """
    problems = []
    for block in blocks:
        if block.is_local:
            known = None
        else:
            known = hub_config(block.model, environ)
        if known is not None and (problem := heads_problem(block, known)):
            problems.append(Problem(str(block.location or ""), *problem))
    if problems:
        raise ConfigError(problems)


def hub_config(model: str, environ: Mapping[str, str]) -> Path | None:
    """A model's ``config.json`` in this machine's Hugging Face cache, None when it is not there."""
    home = Path(environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = sorted(hub.glob(f"models--{model.replace('/', '--')}/snapshots/*/config.json"), key=os.path.getmtime)
    if snapshots:
        return snapshots[-1]
    return None
