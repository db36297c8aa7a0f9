"""The same Compose document for Docker Swarm: what ``docker stack deploy`` takes, and what that cost."""

from gymctl.stack.swarm.options import SwarmOptions
from gymctl.stack.swarm.report import KeyChange, KeyOutcome, grouped
from gymctl.stack.swarm.stack_file import SwarmRendering, has_encrypted_networks, render_swarm
from gymctl.stack.swarm.translation import Translation, translate

__all__ = [
    "KeyChange",
    "KeyOutcome",
    "SwarmOptions",
    "SwarmRendering",
    "Translation",
    "grouped",
    "has_encrypted_networks",
    "render_swarm",
    "translate",
]
