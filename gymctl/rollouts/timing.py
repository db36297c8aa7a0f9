"""Where rollouts spent their time: the per-hop times in results, and their summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from gymctl.config.rows.row_fields import AGENT_REF, TIMING, TOOL_ERRORS
from gymctl.errors import InputError
from gymctl.rollouts.history import AgentRef
from gymctl.rollouts.tool_errors import read_tool_errors

# The order of a rollout; hops not named here follow by name.
_ORDER = ("queue", "seed", "model", "tool", "verify", "between")


def parse_server_timing(header: str) -> dict[str, float]:
    """Milliseconds by name of a W3C ``Server-Timing`` header; same names add up, those without ``dur`` are left out."""
    hops: dict[str, float] = {}
    for entry in header.split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "dur" and name:
                try:
                    hops[name] = round(hops.get(name, 0.0) + float(value.strip().strip('"')), 3)
                except ValueError:
                    continue
    return hops


class Timing(msgspec.Struct):
    """``_gymctl_timing`` of a result: milliseconds."""

    queue_ms: float = 0.0
    total_ms: float = 0.0
    tries: int = 1
    hops: dict[str, float] = {}

    def parts(self) -> dict[str, float]:
        """By hop, with the wait before the call as ``queue`` and what no hop accounts for as ``between``."""
        between = max(0.0, self.total_ms - sum(self.hops.values()))
        return {"queue": self.queue_ms, **self.hops, "between": between}


class _TimedResult(msgspec.Struct):
    agent: AgentRef = msgspec.field(name=AGENT_REF, default_factory=AgentRef)
    timing: Timing | None = msgspec.field(name=TIMING, default=None)
    tool_errors: Any = msgspec.field(name=TOOL_ERRORS, default=None)


@dataclass(frozen=True)
class Share:
    """One hop over all rollouts: percentiles in milliseconds, ``share`` of all time spent (0 to 1)."""

    hop: str
    p50_ms: float
    p95_ms: float
    share: float


@dataclass(frozen=True)
class Waterfall:
    """Where the time of an agent's rollouts went, in the order of a rollout. ``p50_ms``, ``p95_ms``: whole rollouts."""

    agent: str
    rollouts: int
    p50_ms: float
    p95_ms: float
    hops: tuple[Share, ...]
    tool_errors: dict[str, int] = field(default_factory=dict)
    """Failed calls of tools by ``server/tool``, over all rollouts."""


def summarise(
    timings: Iterable[tuple[str, Timing]], tool_errors: Mapping[str, Mapping[str, int]] | None = None
) -> list[Waterfall]:
    """One waterfall per agent.

    Args:
        timings: the agent and the times of each rollout.
        tool_errors: failed calls of tools by agent, then by ``server/tool``.
    """
    by_agent: dict[str, list[Mapping[str, float]]] = {}
    for agent, timing in timings:
        by_agent.setdefault(agent, []).append(timing.parts())
    waterfalls = [_waterfall(agent, parts) for agent, parts in sorted(by_agent.items())]
    counts = tool_errors or {}
    return [replace(waterfall, tool_errors=dict(counts.get(waterfall.agent, {}))) for waterfall in waterfalls]


def summarise_file(path: Path) -> list[Waterfall]:
    """Waterfalls of an output file, read line by line.

    Raises: InputError: the file does not exist, or no result in it has timings.
    """
    if not path.is_file():
        raise InputError(f"file not found: {path}", "specify the output of a collection")
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_TimedResult)
    timings: list[tuple[str, Timing]] = []
    tool_errors: dict[str, Counter[str]] = {}
    with path.open("rb", buffering=1 << 20) as lines:
        for line in lines:
            try:
                result = decoder.decode(line)
            except msgspec.MsgspecError:
                continue
            if result.timing is not None:
                timings.append((result.agent.name, result.timing))
            counts = read_tool_errors(result.tool_errors)
            if counts:
                tool_errors.setdefault(result.agent.name, Counter()).update(counts)
    if not timings:
        raise InputError(f"no result in {path} has timings", "collect with gymctl, which records them")
    return summarise(timings, tool_errors)


def _waterfall(agent: str, rollouts: list[Mapping[str, float]]) -> Waterfall:
    names = sorted({name for parts in rollouts for name in parts}, key=_place)
    totals = sorted(sum(parts.values()) for parts in rollouts)
    everything = sum(totals) or 1.0
    shares = []
    for name in names:
        values = sorted(parts.get(name, 0.0) for parts in rollouts)
        shares.append(Share(name, percentile(values, 0.5), percentile(values, 0.95), sum(values) / everything))
    return Waterfall(agent, len(rollouts), percentile(totals, 0.5), percentile(totals, 0.95), tuple(shares))


def _place(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER) - 2, name)


def percentile(ordered: list[float], quantile: float) -> float:
    """Nearest-rank percentile of values in ascending order; 0 for none."""
    if ordered:
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]
    return 0.0
