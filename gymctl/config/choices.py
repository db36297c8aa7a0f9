"""The choices that options and configurations offer, each an Enum: help and completion list them.

The command line imports this module before it knows which command runs, so it imports nothing else.
"""

from __future__ import annotations

from enum import StrEnum


class MergeOrder(StrEnum):
    """NeMo Gym 0.2 to 0.5 merge an included file after (over) its includer; 0.6 and later before (under) it."""

    INCLUDES_LAST = "includes-last"
    INCLUDES_FIRST = "includes-first"


class SliceMode(StrEnum):
    """The configuration that a container gets: what its server references, or everything."""

    CLOSURE = "closure"
    FULL = "full"


class EngineKind(StrEnum):
    """What runs a stack: Docker Compose, Docker Swarm, or one process of this machine."""

    COMPOSE = "compose"
    SWARM = "swarm"
    LOCAL = "local"


class TestEngine(StrEnum):
    """Where a server's own tests run: in its image, or in this Python."""

    COMPOSE = "compose"
    LOCAL = "local"


class Target(StrEnum):
    """What a rendered file is for."""

    COMPOSE = "compose"
    SWARM = "swarm"
    SLURM = "slurm"


class ExposedGroup(StrEnum):
    """Groups of servers that clients outside of the stack may call."""

    AGENTS = "agents"
    SERVERS = "servers"


class Trainer(StrEnum):
    """Trainers that a configuration is written for."""

    NEMO_RL = "nemo-rl"


class Firewall(StrEnum):
    """The firewalls that rules are written for."""

    UFW = "ufw"
    NFTABLES = "nftables"


class LogFormat(StrEnum):
    """How log lines are written: as text, or as one JSON object each."""

    TEXT = "text"
    JSON = "json"


class LogDriver(StrEnum):
    """Docker's log drivers that a stack's containers may have."""

    JSON_FILE = "json-file"
    LOCAL = "local"
    SYSLOG = "syslog"
    JOURNALD = "journald"
    GELF = "gelf"
    FLUENTD = "fluentd"


class StatusFormat(StrEnum):
    """How much is printed of each server."""

    NORMAL = "normal"
    WIDE = "wide"


class ConfigFormat(StrEnum):
    """How a configuration is printed."""

    YAML = "yaml"
    JSON = "json"


class GraphFormat(StrEnum):
    """How the references between servers are printed."""

    TEXT = "text"
    MERMAID = "mermaid"
    JSON = "json"


class ResultOrder(StrEnum):
    """The order of collected results: as they finish, or in the order of their rows."""

    COMPLETION = "completion"
    INPUT = "input"
