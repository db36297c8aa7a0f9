"""Layered YAML to a typed, located, complete configuration. Touches no network, no Docker and no clock.

Names are imported when they are first used: a server reads one document and has no use for what merges and checks
many, which is a fifth of what it would import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gymctl.lazy import names_on_demand

if TYPE_CHECKING:
    from gymctl.config.blocks.placement import Placement, Placements, ResourceLimits
    from gymctl.config.choices import EngineKind, MergeOrder, SliceMode, Target
    from gymctl.config.diagnostics import CODES, Location, Note, NoteCode, Origins
    from gymctl.config.load import load_config
    from gymctl.config.model import Config, Head, Membership, Reference, ServerInstance
    from gymctl.config.secrets import holds_credential, mask
    from gymctl.config.vllm.served_model import VLLM_PORT, VllmBlock
    from gymctl.config.vocabulary import HEAD_PORT, MOST_REPLICAS, RESERVED_KEYS, Role, ServerKind

__all__ = [
    "CODES",
    "HEAD_PORT",
    "MOST_REPLICAS",
    "RESERVED_KEYS",
    "VLLM_PORT",
    "Config",
    "EngineKind",
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
    "SliceMode",
    "Target",
    "VllmBlock",
    "holds_credential",
    "load_config",
    "mask",
]

_MODULES = {
    "diagnostics": ("CODES", "Location", "Note", "NoteCode", "Origins"),
    "choices": ("EngineKind", "MergeOrder", "SliceMode", "Target"),
    "load": ("load_config",),
    "model": ("Config", "Head", "Membership", "Reference", "ServerInstance"),
    "vocabulary": ("HEAD_PORT", "MOST_REPLICAS", "RESERVED_KEYS", "Role", "ServerKind"),
    "blocks.placement": ("Placement", "Placements", "ResourceLimits"),
    "secrets": ("holds_credential", "mask"),
    "vllm.served_model": ("VLLM_PORT", "VllmBlock"),
}
__getattr__ = names_on_demand(__name__, _MODULES)
