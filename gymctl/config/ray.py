"""The stack's Ray cluster: what a ``ray:`` block means, and when there is one.

A ``ray_head_node_address`` means a cluster of the user's; then the block says nothing but its ``version``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gymctl.config.findings import Findings, NoteCode
from gymctl.config.keys import checked_keys, is_size
from gymctl.config.locations import Location

RAY_KEY = "ray"
ADDRESS_KEY = "ray_head_node_address"
NEEDS_KEY = "needs_ray"  # in a server's fields
VERSION = "2.55.1"  # what NeMo Gym 0.4.0 is locked to: one cluster serves its servers and gymctl's

_VERSION = re.compile(r"\d+(?:\.\d+){1,2}")


@dataclass(frozen=True)
class RayBlock:
    """A head, and ``workers`` nodes of ``cpus`` task slots each; tasks run on the head only where there is no worker.

    ``cpus`` None: as many as the machine has. Sizes are text with a unit. ``dashboard`` is a port of this machine's
    loopback interface, None for none.
    """

    workers: int = 1
    cpus: int | None = None
    object_store: str = "200mb"
    shm_size: str = "512mb"
    memory: str | None = None
    dashboard: int | None = 8265
    version: str = VERSION
    location: Location | None = None


def read_ray(resolved: dict[str, Any], environ: Mapping[str, str], findings: Findings) -> RayBlock | None:
    """The ``ray:`` block; None when there is none. What is wrong with it becomes problems.

    Without either the address of a cluster is that of ``RAY_ADDRESS``, and put into ``resolved``.
    """
    _take_address(resolved, environ, findings)
    written = resolved.get(RAY_KEY)
    if written is None:
        return None
    checks = {
        "workers": (lambda value: _is_count(value, least=0), "a number of nodes, 0 for the head alone"),
        "cpus": (_is_count, "a number of task slots for each node, at least 1"),
        "object_store": (is_size, "a size with its unit, such as 200mb"),
        "shm_size": (is_size, "a size with its unit, such as 512mb"),
        "memory": (is_size, "a size with its unit, such as 4gb"),
        "dashboard": (lambda value: isinstance(value, bool) or _is_port(value), "true, false, or a port"),
        "version": (lambda value: _VERSION.fullmatch(str(value)), f"a version of Ray in quotes, such as '{VERSION}'"),
    }
    found = checked_keys(written, (RAY_KEY,), checks, findings)
    if resolved.get(ADDRESS_KEY):
        for key in found:
            if key != "version":
                what = f"ray.{key} is set, but {ADDRESS_KEY} names a cluster of yours, which the stack does not start"
                findings.problem((RAY_KEY, key), what, f"leave it out, or leave {ADDRESS_KEY} out")
    dashboard = found.pop("dashboard", True)
    values = {key: value for key, value in found.items() if value is not None}
    if "version" in values:
        values["version"] = str(values["version"])
    port = RayBlock.dashboard if dashboard is True else None if dashboard in (False, None) else dashboard
    return RayBlock(**values, dashboard=port, location=findings.origins.of((RAY_KEY,)))


def _take_address(resolved: dict[str, Any], environ: Mapping[str, str], findings: Findings) -> None:
    """``RAY_ADDRESS`` stands for ``ray_head_node_address`` where the configuration says nothing of a cluster.

    Ray's other forms of it (``auto``, ``HOST:6379``) are for nodes of the cluster, which no container is.
    """
    address = environ.get("RAY_ADDRESS", "")
    if address.startswith("ray://") and resolved.get(ADDRESS_KEY) is None and resolved.get(RAY_KEY) is None:
        resolved[ADDRESS_KEY] = address
        findings.note_at(NoteCode.RAY_ADDRESS, "", f"the Ray cluster is that of RAY_ADDRESS: {address}")


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= 1000


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and 0 < value < 65536
