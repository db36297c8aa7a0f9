"""Layered YAML to a typed, located, complete configuration. Touches no network, no Docker and no clock.

Names are imported when they are first used: a server reads one document and has no use for what merges and checks
many, which is a fifth of what it would import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gymctl.lazy import names_on_demand

if TYPE_CHECKING:
    from gymctl.config.findings import CODES, Note, NoteCode
    from gymctl.config.includes import MergeOrder
    from gymctl.config.load import load_config
    from gymctl.config.locations import Location, Origins
    from gymctl.config.model import Config, Head, Membership, Reference, ServerInstance
    from gymctl.config.names import HEAD_PORT, MOST_REPLICAS, RESERVED_KEYS, Role, ServerKind
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
    "model": ("Config", "Head", "Membership", "Reference", "ServerInstance"),
    "names": ("HEAD_PORT", "MOST_REPLICAS", "RESERVED_KEYS", "Role", "ServerKind"),
    "placement": ("Placement", "Placements", "ResourceLimits"),
    "placing": ("without_effect",),
    "secrets": ("holds_credential", "mask"),
    "vllm": ("VLLM_PORT", "VllmBlock"),
}
__getattr__ = names_on_demand(__name__, _MODULES)
