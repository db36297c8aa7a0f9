"""What NeMo Gym's parser derives into the entries of servers, derived here too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymctl.config.upstream import AGENT_KIND, SKIPPED_VERIFICATION


def with_derived_fields(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved configuration whose agents have the global ``skip_verification`` and its reward, unless they set it.

    Args:
        resolved: the top level of a configuration; it is not changed.
    """
    derived = {key: resolved[key] for key in SKIPPED_VERIFICATION if resolved.get(key) is not None}
    if not derived:
        return dict(resolved)
    return {name: _with_fields(entry, derived) for name, entry in resolved.items()}


def _with_fields(entry: Any, derived: Mapping[str, Any]) -> Any:
    agents = entry.get(AGENT_KIND) if isinstance(entry, dict) else None
    if not isinstance(agents, dict):
        return entry
    filled = {name: {**derived, **fields} if isinstance(fields, dict) else fields for name, fields in agents.items()}
    return {**entry, AGENT_KIND: filled}
