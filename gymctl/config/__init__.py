"""Layered YAML to a typed, located, complete configuration. Touches no network, no Docker and no clock.

Names are imported when they are first used: a server reads one document and has no use for what merges and checks
many, which is a fifth of what it would import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gymctl.config.findings import CODES, Note, NoteCode
    from gymctl.config.includes import MergeOrder
    from gymctl.config.load import load_config
    from gymctl.config.locations import Location, Origins
    from gymctl.config.model import (
        HEAD_PORT,
        MOST_REPLICAS,
        RESERVED_KEYS,
        Config,
        Head,
        Membership,
        Reference,
        Role,
        ServerInstance,
        ServerKind,
    )
    from gymctl.config.placement import Placement, Placements, ResourceLimits
    from gymctl.config.placing import without_effect
    from gymctl.config.secrets import holds_credential, mask
    from gymctl.config.vllm import VLLM_PORT, VllmBlock

__all__ = [
    "CODES",
    "HEAD_PORT",
    "MOST_REPLICAS",
    "RESERVED_KEYS",
    "VLLM_PORT",
    "Config",
    "Head",
    "Location",
    "Membership",
    "MergeOrder",
    "Note",
    "NoteCode",
    "Origins",
    "Placement",
    "Placements",
    "Reference",
    "ResourceLimits",
    "Role",
    "ServerInstance",
    "ServerKind",
    "VllmBlock",
    "holds_credential",
    "load_config",
    "mask",
    "without_effect",
]

_MODULES = {
    "findings": ("CODES", "Note", "NoteCode"),
    "includes": ("MergeOrder",),
    "load": ("load_config",),
    "locations": ("Location", "Origins"),
    "model": (
        "HEAD_PORT",
        "MOST_REPLICAS",
        "RESERVED_KEYS",
        "Config",
        "Head",
        "Membership",
        "Reference",
        "Role",
        "ServerInstance",
        "ServerKind",
    ),
    "placement": ("Placement", "Placements", "ResourceLimits"),
    "placing": ("without_effect",),
    "secrets": ("holds_credential", "mask"),
    "vllm": ("VLLM_PORT", "VllmBlock"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
