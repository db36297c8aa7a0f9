"""Calls of tools that failed: counted by the agent, kept with each result, summed up for the user."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

_MOST_TOOLS = 100
"""A reply that names more tools is not from an agent of ours."""


def parse_tool_errors(header: str) -> dict[str, int]:
    """Failed calls by ``server/tool`` of a header such as ``weather/forecast=2, weather/alert=1``; names are quoted."""
    counts: dict[str, int] = {}
    for entry in header.split(",")[:_MOST_TOOLS]:
        name, _, count = entry.strip().rpartition("=")
        if name and count.isdecimal() and len(count) <= 9:
            tool = unquote(name)
            counts[tool] = counts.get(tool, 0) + int(count)
    return counts


def read_tool_errors(value: object) -> dict[str, int]:
    """Failed calls by ``server/tool`` as a result holds them; what is not a count is left out."""
    if not isinstance(value, Mapping):
        return {}
    return {str(name): count for name, count in value.items() if isinstance(count, int) and count > 0}


def describe_tool_errors(counts: Mapping[str, int]) -> str:
    """One line: ``3 weather/forecast, 1 weather/alert``, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered)
