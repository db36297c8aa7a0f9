"""The limits of every container that the configuration does not limit itself: memory, processes, ``/tmp``, CPUs.

They stop what runs away and are far above what a server needs under load. Idle, a server of gymctl's kit takes 40 to
60 MB and one of NeMo Gym 150 MB; an agent with 16,384 rollouts in flight took 560 MB. CPUs have weights instead of
limits, because Docker refuses a limit above the cores of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from gymctl.config import ServerKind
from gymctl.config.sizes import size_in_bytes
from gymctl.stack.addons.nemo_gym import GYM_ROOT
from gymctl.stack.compose.model import ResourceBounds, Resources
from gymctl.stack.service import ALERTMANAGER_KIND, EGRESS_KIND, PROMETHEUS_KIND, ServicePlan

_MB = 1024**2


@dataclass(frozen=True)
class ContainerLimits:
    """Limits of one replica."""

    memory_mb: int | None
    """Memory limit in MB (of 1024² bytes), including ``/tmp``; None: no limit."""
    pids: int
    """Most processes and threads."""
    tmp_mb: int
    """Size of ``/tmp`` in MB; it takes memory as it fills."""
    cpu_shares: int
    """Weight among containers that want more CPU time than there is; Docker's default is 1024."""


HEAD = ContainerLimits(memory_mb=1024, pids=512, tmp_mb=64, cpu_shares=2048)
PROXY = ContainerLimits(memory_mb=4096, pids=512, tmp_mb=64, cpu_shares=2048)
MODEL = ContainerLimits(memory_mb=4096, pids=1024, tmp_mb=256, cpu_shares=1024)
AGENT = ContainerLimits(memory_mb=8192, pids=1024, tmp_mb=256, cpu_shares=1024)
RESOURCES = ContainerLimits(memory_mb=16384, pids=4096, tmp_mb=2048, cpu_shares=512)
NEMO_GYM = ContainerLimits(memory_mb=16384, pids=8192, tmp_mb=4096, cpu_shares=1024)
RAY = ContainerLimits(memory_mb=32768, pids=32768, tmp_mb=8192, cpu_shares=512)
VLLM = ContainerLimits(memory_mb=None, pids=32768, tmp_mb=8192, cpu_shares=1024)
PROMETHEUS = ContainerLimits(memory_mb=2048, pids=512, tmp_mb=64, cpu_shares=2048)
ALERTMANAGER = ContainerLimits(memory_mb=512, pids=512, tmp_mb=64, cpu_shares=2048)
EGRESS_PROXY = ContainerLimits(memory_mb=1024, pids=512, tmp_mb=64, cpu_shares=2048)
COLLECTOR = ContainerLimits(memory_mb=16384, pids=1024, tmp_mb=1024, cpu_shares=1024)

_BY_KIND = {
    "head": HEAD,
    "node": HEAD,
    "ray": RAY,
    "vllm": VLLM,
    PROMETHEUS_KIND: PROMETHEUS,
    ALERTMANAGER_KIND: ALERTMANAGER,
    EGRESS_KIND: EGRESS_PROXY,
    ServerKind.MODEL.value: MODEL,
    ServerKind.AGENT.value: AGENT,
    ServerKind.RESOURCES.value: RESOURCES,
}
_WORKER_MB = 1024  # for each further process of num_workers
_WORKER_PIDS = 64


def default_limits(service: ServicePlan) -> ContainerLimits:
    """The limits of a service's containers where the configuration sets none."""
    if service.implementation == "proxy":
        return PROXY
    if service.working_dir.startswith(f"{GYM_ROOT}/"):
        return NEMO_GYM
    return _BY_KIND.get(str(service.kind), RESOURCES)  # a replica behind a proxy may be any kind of server


def limited_bounds(service: ServicePlan) -> ResourceBounds:
    """The service's own limits and reservations, with the defaults of its kind for memory and processes."""
    own = service.bounds or ResourceBounds()
    limits = own.limits or Resources()
    defaults = default_limits(service)
    workers = service.workers - 1
    update: dict[str, str | int] = {}
    if limits.pids is None:
        update["pids"] = defaults.pids + workers * _WORKER_PIDS
    if limits.memory is None and defaults.memory_mb is not None:
        most = _default_memory_mb(service, defaults.memory_mb + workers * _WORKER_MB)
        update["memory"] = _in_words(most)
    return own.model_copy(update={"limits": limits.model_copy(update=update)})


def tmp_size(service: ServicePlan) -> str:
    """The size of ``/tmp`` in a service's containers as Docker's tmpfs takes it, such as ``64m``."""
    if service.tmp_size:
        size = _megabytes(service.tmp_size)
    else:
        size = default_limits(service).tmp_mb
    return f"{size}m"


def _default_memory_mb(service: ServicePlan, memory_mb: int) -> int:
    """``memory_mb``, with what is asked for beyond it: a reservation, shared memory, a larger ``/tmp``."""
    reserved = service.bounds and service.bounds.reservations
    if reserved and reserved.memory:
        memory_mb = max(memory_mb, 2 * _megabytes(reserved.memory))
    if service.shm_size:
        memory_mb += _megabytes(service.shm_size)
    if service.tmp_size:
        memory_mb += _megabytes(service.tmp_size)
    return memory_mb


def _megabytes(size: str) -> int:
    return -(-size_in_bytes(size) // _MB)


def _in_words(size_mb: int) -> str:
    if size_mb % 1024:
        return f"{size_mb}mb"
    return f"{size_mb // 1024}gb"
