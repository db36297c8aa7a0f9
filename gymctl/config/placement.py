"""Where a server may run, and how much of a machine it may take: ``placement:`` and ``resources:``.

``placement`` stands at the top of a configuration, for everything or under ``head``, ``models``, ``agents``,
``resources`` and ``addons`` for one kind, and in a server's fields. The nearer one wins, key by key; null takes back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gymctl.config.diagnostics import Findings, KeyPath, dotted
from gymctl.config.sizes import is_size_with_unit, size_in_bytes
from gymctl.config.validation import checked_keys, is_gpu_id

GROUPS = ("head", "models", "agents", "resources", "addons")

_RESERVE_KEYS = ("cpus", "memory")
# What Swarm takes in a constraint (swarmkit's manager/constraint), a leading ! apart.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_VALUE = re.compile(r"!?[A-Za-z0-9_./: -]+")


@dataclass(frozen=True)
class Placement:
    """Which machines a server may run on; a ``host`` or a label's value that begins with ``!`` is excluded.

    ``gpu``: True for machines with a GPU, False for those without, or what kind of GPU it must be.
    """

    role: Literal["manager", "worker"] | None = None
    host: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    gpu: bool | str | None = None
    spread: tuple[str, ...] = ()  # labels of machines, over whose values replicas are spread
    max_replicas_per_node: int | None = None


@dataclass(frozen=True)
class ResourceLimits:
    """At most ``cpus``, ``memory`` and ``pids``; ``gpus`` and what is under ``reserved_*`` is kept for it alone.

    ``memory`` is text with a unit (``2gb``); ``gpus`` a number, their ids, or ``all``.
    """

    cpus: float | None = None
    memory: str | None = None
    pids: int | None = None
    gpus: int | Literal["all"] | tuple[str, ...] | None = None
    reserved_cpus: float | None = None
    reserved_memory: str | None = None


@dataclass(frozen=True)
class Placements:
    """The top-level ``placement:`` as written and checked: the keys for everything, and those of each group."""

    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, group: str, own: Mapping[str, Any] | None = None) -> Placement | None:
        """What holds in the end for a member of ``group`` that says ``own`` itself; None when nobody says anything."""
        merged: dict[str, Any] = {}
        for layer in (self.groups.get("", {}), self.groups.get(group, {}), own or {}):
            labels = layer.get("labels", {})
            merged |= {**layer, "labels": None if labels is None else {**(merged.get("labels") or {}), **labels}}
        spread = merged.get("spread") or ()
        labels = {key: _text(value) for key, value in (merged["labels"] or {}).items() if value is not None}
        placement = Placement(
            role=merged.get("role"),
            host=merged.get("host"),
            labels=labels,
            gpu=merged.get("gpu"),
            spread=(spread,) if isinstance(spread, str) else tuple(spread),
            max_replicas_per_node=merged.get("max_replicas_per_node"),
        )
        return placement if placement != Placement() else None


def read_placements(value: Any, findings: Findings) -> Placements:
    """The top-level ``placement:``; what is wrong with it becomes problems."""
    path: KeyPath = ("placement",)
    if value is None:
        return Placements()
    if not isinstance(value, dict):
        findings.problem(path, f"placement is {value!r}", "write placement: {role: worker, head: {role: manager}}")
        return Placements()
    own = {key: item for key, item in value.items() if key not in GROUPS}
    groups = {"": read_placement(own, path, findings, also=GROUPS)}
    for group in GROUPS:
        groups[group] = read_placement(value.get(group), (*path, group), findings)
    return Placements(groups)


def read_placement(value: Any, path: KeyPath, findings: Findings, also: Iterable[str] = ()) -> Mapping[str, Any]:
    """One level of ``placement:``, without what is wrong in it; ``also`` are further keys that may stand here."""
    checks = {
        "role": (lambda role: role in ("manager", "worker"), "manager or worker"),
        "host": (
            lambda host: _is_text(host, _VALUE),
            "one host name, or !NAME for all but that one; to choose among several, label them: labels: {pool: big}",
        ),
        "labels": (_is_labels, "a mapping of node labels to values, such as {disk: ssd} or {disk: '!hdd'}"),
        "gpu": (lambda gpu: isinstance(gpu, bool) or _is_text(gpu, _VALUE), "true, false, or the kind of GPU"),
        "spread": (_is_spread, "a node label, or a list of them"),
        "max_replicas_per_node": (_is_count, "a number of at least 1"),
    }
    return checked_keys(value, path, checks, findings, also)


def read_resources(value: Any, path: KeyPath, findings: Findings) -> ResourceLimits | None:
    """A server's ``resources:``; None when it has none."""
    checks = {
        "cpus": (_is_cpus, "a number of processors, such as 1.5"),
        "memory": (is_size_with_unit, "a size with its unit, such as 512mb or 16gb"),
        "pids": (_is_count, "a number of at least 1"),
        "gpus": (_is_gpus, "how many, a list of their ids (numbers or UUIDs, each once), or all"),
        "reserve": (lambda reserve: isinstance(reserve, dict), "a mapping of cpus and memory"),
    }
    found = checked_keys(value, path, checks, findings)
    kept = {key: checks[key] for key in _RESERVE_KEYS}
    reserved = checked_keys(found.get("reserve"), (*path, "reserve"), kept, findings)
    for key in _RESERVE_KEYS:
        if (
            found.get(key) is not None
            and reserved.get(key) is not None
            and _amount(reserved[key]) > _amount(found[key])
        ):
            what = f"{dotted((*path, 'reserve', key))} is {reserved[key]}, more than its limit {found[key]}"
            findings.problem((*path, "reserve", key), what, "reserve no more than the limit")
    gpus = found.get("gpus")
    limits = ResourceLimits(
        cpus=found.get("cpus"),
        memory=found.get("memory"),
        pids=found.get("pids"),
        gpus=tuple(str(item) for item in gpus) if isinstance(gpus, list) else gpus or None,
        reserved_cpus=reserved.get("cpus"),
        reserved_memory=reserved.get("memory"),
    )
    return limits if limits != ResourceLimits() else None


def _is_text(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_labels(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_text(key, _NAME) and (item is None or _is_text(_text(item), _VALUE)) for key, item in value.items()
    )


def _is_spread(value: Any) -> bool:
    labels = value if isinstance(value, list) else [value]
    return all(_is_text(label, _NAME) for label in labels)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_cpus(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _is_gpus(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(is_gpu_id, value)) and len(set(map(str, value))) == len(value)
    return value == "all" or _is_count(value)


def _text(value: Any) -> str:
    """A label's value as the swarm holds it: YAML's true is ``true``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _amount(value: Any) -> float:
    """Processors, or bytes."""
    return float(size_in_bytes(value)) if isinstance(value, str) else float(value)
