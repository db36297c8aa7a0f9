"""Layered YAML to a typed, located, complete configuration. Touches no network, no Docker and no clock."""

from gymctl.config.load import load_config
from gymctl.config.locations import Location, Origins
from gymctl.config.model import HEAD_PORT, RESERVED_KEYS, Config, Head, Reference, ServerInstance, ServerKind
from gymctl.config.secrets import holds_credential, mask

__all__ = [
    "HEAD_PORT",
    "RESERVED_KEYS",
    "Config",
    "Head",
    "Location",
    "Origins",
    "Reference",
    "ServerInstance",
    "ServerKind",
    "holds_credential",
    "load_config",
    "mask",
]
