"""Layered YAML to a typed, located, complete configuration. Touches no network, no Docker and no clock."""

from gymctl.config.findings import CODES, Note, NoteCode
from gymctl.config.includes import MergeOrder
from gymctl.config.load import load_config
from gymctl.config.locations import Location, Origins
from gymctl.config.model import HEAD_PORT, RESERVED_KEYS, Config, Head, Reference, ServerInstance, ServerKind
from gymctl.config.placement import Placement, Placements, ResourceLimits
from gymctl.config.placing import without_effect
from gymctl.config.secrets import holds_credential, mask

__all__ = [
    "CODES",
    "HEAD_PORT",
    "RESERVED_KEYS",
    "Config",
    "Head",
    "Location",
    "MergeOrder",
    "Note",
    "NoteCode",
    "Origins",
    "Placement",
    "Placements",
    "Reference",
    "ResourceLimits",
    "ServerInstance",
    "ServerKind",
    "holds_credential",
    "load_config",
    "mask",
    "without_effect",
]
