"""Check the keys of one mapping: their spelling, and what each value must be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gymctl.config.findings import Findings, did_you_mean
from gymctl.config.locations import KeyPath, dotted

Check = tuple[Callable[[Any], Any], str]  # whether a value is right, and what it must be

_GPU_ID = re.compile(r"[0-9]+(?::[0-9]+)?|(?:GPU|MIG)-[A-Za-z0-9/-]+")
_SIZE = re.compile(r"\d+(?:\.\d+)?(?:b|[kmgt]b?|[kmgt]ib)", re.IGNORECASE)


def checked_keys(
    value: Any, path: KeyPath, checks: Mapping[str, Check], findings: Findings, also: Iterable[str] = ()
) -> dict[str, Any]:
    """The entries of a mapping that are right; null is right everywhere."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        findings.problem(path, f"{dotted(path)} is {value!r}", f"it must be a mapping of {', '.join(checks)}")
        return {}
    right: dict[str, Any] = {}
    for key, item in value.items():
        place = (*path, key)
        if key not in checks:
            if not str(key).startswith("x-"):
                known = (*checks, *also)
                hint = did_you_mean(key, known) or f"there are {', '.join(known)}"
                findings.problem(place, f"unknown key {dotted(place)!r}", hint)
        elif item is not None and not checks[key][0](item):
            findings.problem(place, f"{dotted(place)} is {item!r}", f"it must be {checks[key][1]}")
        else:
            right[key] = item
    return right


def is_gpu_id(value: Any) -> bool:
    """Whether NVIDIA's runtime takes it: a number, ``GPU:MIG`` numbers, or a ``GPU-...`` or ``MIG-...`` UUID."""
    return not isinstance(value, bool) and _GPU_ID.fullmatch(str(value)) is not None


def is_port(value: Any) -> bool:
    """Whether it is a number that a port can have: 1 to 65535."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def is_size(value: Any) -> bool:
    """Whether it is text like ``512mb``."""
    return isinstance(value, str) and _SIZE.fullmatch(value) is not None
