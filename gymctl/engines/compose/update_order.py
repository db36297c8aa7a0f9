"""Which services may run in two versions at once while they are updated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymctl.stack import labels

PUBLISHES = "it publishes a port of this machine, which only one container can use"


def stop_first_reasons(services: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Why the old containers of a service must stop before new ones start, by service; the others start first.

    ``services`` are those of a document with long forms, as ``docker compose config`` writes it.
    """
    reasons = {name: _reason(service) for name, service in services.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _reason(service: Mapping[str, Any]) -> str:
    """Why two versions of a service cannot run at once; empty if they can."""
    possible = {
        "its container has a fixed name": "container_name" in service,
        "it uses the network of another container or of this machine": "network_mode" in service,
        "it uses GPUs": _reserves_devices(service) or "gpus" in service,
        "it is part of a Ray cluster": (service.get("labels") or {}).get(labels.KIND) == "ray",
        "it writes to a volume": any(_is_written(mount) for mount in service.get("volumes") or ()),
        PUBLISHES: any(port.get("published") for port in service.get("ports") or ()),
    }
    return next((reason for reason, applies in possible.items() if applies), "")


def _reserves_devices(service: Mapping[str, Any]) -> bool:
    resources = (service.get("deploy") or {}).get("resources") or {}
    return bool((resources.get("reservations") or {}).get("devices"))


def _is_written(mount: Mapping[str, Any]) -> bool:
    """Whether what is mounted outlives a container and can be written by it."""
    return mount.get("type") in ("bind", "volume") and not mount.get("read_only")
