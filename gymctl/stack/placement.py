"""``placement:`` and ``resources:`` of the configuration in the words of a Compose document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gymctl.config import Placement, ResourceLimits
from gymctl.config.wording import listing
from gymctl.stack import labels
from gymctl.stack.compose import model as compose
from gymctl.stack.service import ServicePlan


def node_placement(placement: Placement | None) -> compose.DeployPlacement | None:
    """Constraints and preferences on nodes, or None where everything may run everywhere."""
    if placement is None:
        return None
    node = compose.DeployPlacement(
        constraints=list(_constraints(placement)) or None,
        preferences=[compose.Preference(spread=f"node.labels.{label}") for label in placement.spread or ()] or None,
        max_replicas_per_node=placement.max_replicas_per_node,
    )
    if node.plain():
        return node
    return None


def _constraints(placement: Placement) -> Iterator[str]:
    if placement.role is not None:
        yield f"node.role=={placement.role}"
    if placement.host is not None:
        yield _compared("node.hostname", placement.host)
    for label, value in (placement.labels or {}).items():
        yield _compared(f"node.labels.{label}", value or "")
    if isinstance(placement.gpu, bool):
        yield f"node.labels.{labels.GPU}{'==' if placement.gpu else '!='}true"
    elif placement.gpu is not None:
        yield _compared(f"node.labels.{labels.GPU_KIND}", placement.gpu)


def _compared(attribute: str, value: str) -> str:
    if value.startswith("!"):
        return f"{attribute}!={value[1:]}"
    return f"{attribute}=={value}"


def resource_bounds(limits: ResourceLimits | None) -> compose.ResourceBounds | None:
    """Limits and reservations of one replica, or None."""
    if limits is None:
        return None
    most = compose.Resources(cpus=_cpus(limits.cpus), memory=limits.memory, pids=limits.pids)
    reservations = compose.Resources(
        cpus=_cpus(limits.reserve.cpus),
        memory=limits.reserve.memory,
        devices=[_gpus(limits)] if limits.gpus is not None else None,
    )
    return compose.ResourceBounds(
        limits=most if most.plain() else None, reservations=reservations if reservations.plain() else None
    )


def _cpus(cpus: float | None) -> str | None:
    if cpus is None:
        return None
    return f"{cpus:.9f}".rstrip("0").rstrip(".")


def _gpus(limits: ResourceLimits) -> compose.Device:
    if isinstance(limits.gpus, tuple):
        return compose.Device(capabilities=["gpu"], driver="nvidia", device_ids=list(limits.gpus))
    return compose.Device(capabilities=["gpu"], driver="nvidia", count=limits.gpus)


def one_machine_notes(services: Sequence[ServicePlan]) -> Iterator[str]:
    """Notes on placement and on GPUs of replicas that have no effect on one machine."""
    placed = [service.name for service in services if service.placement is not None]
    if placed:
        yield f"placement ({listing(placed)}) is ignored by Compose, which runs on one machine; use --target swarm"
    for service in services:
        if service.replicas > 1 and service.devices:
            problem = f"{service.name}: Compose gives all {service.replicas} replicas the same GPUs"
            yield f"{problem}; Swarm, or a vllm block with instances, assigns separate ones"
