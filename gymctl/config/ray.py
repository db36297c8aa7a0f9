"""The stack's Ray cluster: what a ``ray:`` block means, and when there is one.

A ``ray_head_node_address`` means a cluster of the user's; then the block says nothing but its ``version``.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from gymctl.config.diagnostics import Findings, Location, NoteCode
from gymctl.config.placement import read_placement
from gymctl.config.sizes import is_size_with_unit
from gymctl.config.validation import checked_keys, is_port
from gymctl.config.vocabulary import RAY_ADDRESS_KEY, RAY_BLOCK
from gymctl.errors import Problem

NEEDS_KEY = "needs_ray"  # in a server's fields
VERSION = "2.55.1"  # what NeMo Gym 0.4.0 is locked to: one cluster serves its servers and gymctl's

KEYS: Mapping[str, str] = {
    "workers": "Nodes that tasks run on; 0: they run on the head.",
    "cpus": "Tasks at one time on each node; left out: as many as its machine has cores.",
    "object_store": "Size of each node's object store, such as 200mb.",
    "shm_size": "Shared memory of each node, which holds the object store.",
    "memory": "Most memory of the head and of each node.",
    "dashboard": "true (port 8265 of this machine's loopback interface), another port, or false.",
    "version": "Ray's version, in the nodes' and the servers' images.",
    "placement": "Which machines the nodes run on, over placement.addons, which the head follows too.",
}

_MOST = 1000  # nodes, and task slots of one
# of a cluster, for its clients: the only form that a container can dial
CLIENT_ADDRESS = re.compile(r"ray://(?P<host>\[[^\]]+\]|[^/:@\[\]\s]+):(?P<port>\d{1,5})/?")

_NODES_ADDRESS = re.compile(CLIENT_ADDRESS.pattern.removeprefix("ray://"))
_HERE = ("auto", "local")  # Ray's words for a cluster of this machine
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
    placement: Mapping[str, Any] = field(default_factory=dict)  # as written, of the nodes
    location: Location | None = None


def read_ray(
    resolved: dict[str, Any], servers: Container[str], environ: Mapping[str, str], findings: Findings
) -> RayBlock | None:
    """The ``ray:`` block; None when there is none, or it is one of the ``servers``. What is wrong becomes problems.

    Without either the address of a cluster is that of ``RAY_ADDRESS``, and put into ``resolved``.
    """
    written = None if RAY_BLOCK in servers else resolved.get(RAY_BLOCK)
    if written is None:
        _take_address(resolved, environ, findings)
    _check_address(resolved.get(RAY_ADDRESS_KEY), findings)
    if written is None:
        return None
    checks = {
        "workers": (lambda value: _is_count(value, least=0), f"a number of nodes from 0 (the head alone) to {_MOST}"),
        "cpus": (_is_count, f"a number of task slots for each node, from 1 to {_MOST}"),
        "object_store": (is_size_with_unit, "a size with its unit, such as 200mb"),
        "shm_size": (is_size_with_unit, "a size with its unit, such as 512mb"),
        "memory": (is_size_with_unit, "a size with its unit, such as 4gb"),
        "dashboard": (lambda value: isinstance(value, bool) or is_port(value), "true, false, or a port"),
        "version": (lambda value: _VERSION.fullmatch(str(value)), f"a version of Ray in quotes, such as '{VERSION}'"),
        "placement": (lambda value: isinstance(value, dict), "a mapping, as a server's placement is"),
    }
    found = checked_keys(written, (RAY_BLOCK,), checks, findings)
    if resolved.get(RAY_ADDRESS_KEY):
        for key in found:
            if key != "version":
                what = (
                    f"ray.{key} is set, but {RAY_ADDRESS_KEY} names a cluster of yours, which the stack does not start"
                )
                findings.problem((RAY_BLOCK, key), what, f"leave it out, or leave {RAY_ADDRESS_KEY} out")
    if found.get("placement"):
        found["placement"] = read_placement(found["placement"], (RAY_BLOCK, "placement"), findings)
    dashboard = found.pop("dashboard", True)
    values = {key: value for key, value in found.items() if value is not None}
    if "version" in values:
        values["version"] = str(values["version"])
    port = RayBlock.dashboard if dashboard is True or dashboard is None else dashboard or None
    return RayBlock(**values, dashboard=port, location=findings.origins.of((RAY_BLOCK,)))


def _take_address(resolved: dict[str, Any], environ: Mapping[str, str], findings: Findings) -> None:
    """``RAY_ADDRESS`` stands for ``ray_head_node_address`` where the configuration says nothing of a cluster.

    Ray's other forms of it (``auto``, ``HOST:6379``) are for nodes of the cluster, which no container is.
    """
    address = environ.get("RAY_ADDRESS", "")
    if address.startswith("ray://") and resolved.get(RAY_ADDRESS_KEY) is None:
        resolved[RAY_ADDRESS_KEY] = address
        findings.note_at(NoteCode.RAY_ADDRESS, "", f"the Ray cluster is that of RAY_ADDRESS: {address}")


def _check_address(address: Any, findings: Findings) -> None:
    """See that it is of a form that Ray knows: a container needs that for clients, a process here may have others."""
    if address in (None, "", *_HERE):
        return
    found = CLIENT_ADDRESS.fullmatch(str(address)) or _NODES_ADDRESS.fullmatch(str(address))
    if found is None or not is_port(int(found["port"])):
        hint = "write ray://HOST:PORT; a cluster's port for clients is 10001, unless it was started with another"
        where = findings.place((RAY_ADDRESS_KEY,)) or "RAY_ADDRESS"
        findings.problems.append(
            Problem(where, f"{RAY_ADDRESS_KEY} is {address!r}, which is no address of a cluster", hint)
        )


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MOST
