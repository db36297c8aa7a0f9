"""Options of the translation to Swarm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SwarmOptions:
    """What the caller knows and the document does not.

    ``images`` maps an image of the document to the one to deploy (by digest); ``contents`` maps a ``file:`` of a secret
    or config, as the document writes it, to its bytes, from which its name in the swarm is made. ``is_encrypted`` has
    the traffic of the stack's networks encrypted between the nodes.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    is_encrypted: bool = False
