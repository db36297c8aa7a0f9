"""Where rows go that do not name their agent: the routes of a configuration, as NeMo Gym 0.6 and later read them.

A row has a ``task_source``, the name of the server that declares its data set: an agent runs its own rows, the rows of
a resources server are run by the agent that refers to it. A task of 0.7 has a taskset, which leads to an environment
server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gymctl.config.environment_relays import agents_of
from gymctl.config.upstream import AGENT_KIND, ENVIRONMENT_KIND, RELAY, RESOURCES_KIND, TASKSET_ROUTES

DEFAULT_ROUTE = "_default"
"""The key of ``agent_map`` for rows that no other key is for."""


@dataclass(frozen=True)
class RowRoutes:
    """The routes of one configuration. All values are plain, so that a job in a container can be given them."""

    sources: Mapping[str, str] = field(default_factory=dict)
    """Task source: its agent."""
    unroutable: Mapping[str, str] = field(default_factory=dict)
    """Task source that leads to no agent: why, and what to do."""
    fronts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Agent: the environment servers with a process of their own that take its rollouts."""
    tasksets: Mapping[str, str] = field(default_factory=dict)
    """Taskset: its environment server."""
    servers: Sequence[str] = field(default_factory=list)
    """All environment servers with a process of their own."""
    attributed: Mapping[str, str] = field(default_factory=dict)
    """Environment server: the agent that its results are attributed to."""
    agent_map: Mapping[str, str] = field(default_factory=dict)
    """The configuration's own: name in a row, and the agent that gets the row instead."""
    fan_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The configuration's own: name in a row, and all agents that get the row."""


def read_routes(values: Mapping[str, Any]) -> RowRoutes:
    """The routes of a configuration given as plain data: a resolved one, or the dict of a head."""
    servers = list(_servers(values))
    callers: dict[str, list[str]] = {}
    fronts: dict[str, list[str]] = {}
    attributed: dict[str, str] = {}
    for name, kind, implementation, fields in servers:
        if kind == AGENT_KIND and isinstance(target := _name_in(fields.get("resources_server")), str):
            callers.setdefault(target, []).append(name)
        elif kind == ENVIRONMENT_KIND and implementation != RELAY:
            agents = agents_of(fields)
            for agent in agents:
                fronts.setdefault(agent, []).append(name)
            if "agent_server" in fields or len(agents) == 1:
                attributed[name] = agents[0]
    sources: dict[str, str] = {}
    unroutable: dict[str, str] = {}
    for name, kind, _, fields in servers:
        if kind in (AGENT_KIND, RESOURCES_KIND):
            candidates = [name] if kind == AGENT_KIND else callers.get(name, [])
            problem = _problem(name, candidates, _pins(fields))
            if problem:
                unroutable[name] = problem
            else:
                sources[name] = (_pins(fields) or candidates)[0]
    return RowRoutes(
        sources=sources,
        unroutable=unroutable,
        fronts=fronts,
        tasksets=_texts(values.get(TASKSET_ROUTES)),
        servers=[
            name for name, kind, implementation, _ in servers if kind == ENVIRONMENT_KIND and implementation != RELAY
        ],
        attributed=attributed,
        agent_map=_texts(values.get("agent_map")),
        fan_out=_lists(values.get("fan_out")),
    )


def _problem(source: str, candidates: Sequence[str], pins: Sequence[str]) -> str:
    """Why the rows of a task source lead to no agent; empty when they lead to one."""
    choose = f"choose one with +agent_map.{source}=AGENT"
    if len(pins) > 1:
        return f"the data sets of {source} name different agents ({', '.join(pins)}); {choose}"
    if pins and pins[0] not in candidates:
        return f"a data set of {source} names the agent {pins[0]!r}, which does not use {source}; {choose}"
    if not candidates:
        return f"no agent uses the resources server {source}; {choose}"
    if not pins and len(candidates) > 1:
        return f"{len(candidates)} agents use the resources server {source} ({', '.join(candidates)}); {choose}"
    return ""


def _pins(fields: Mapping[str, Any]) -> list[str]:
    """The agents that data sets of a server name with ``agent:``, each once."""
    datasets = fields.get("datasets")
    named = [item.get("agent") for item in datasets if isinstance(item, dict)] if isinstance(datasets, list) else []
    return list(dict.fromkeys(name for name in named if isinstance(name, str)))


def _servers(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Agents, resources servers and environment servers: name, kind, implementation, fields."""
    for name, value in values.items():
        for kind in (AGENT_KIND, RESOURCES_KIND, ENVIRONMENT_KIND):
            inner = value.get(kind) if isinstance(value, dict) else None
            if isinstance(inner, dict) and len(inner) == 1:
                implementation, fields = next(iter(inner.items()))
                if isinstance(fields, dict):
                    yield str(name), kind, str(implementation), fields


def _name_in(reference: Any) -> Any:
    return reference.get("name") if isinstance(reference, dict) else None


def _texts(value: Any) -> dict[str, str]:
    return {str(key): item for key, item in value.items() if isinstance(item, str)} if isinstance(value, dict) else {}


def _lists(value: Any) -> dict[str, list[str]]:
    entries = value.items() if isinstance(value, dict) else ()
    return {str(key): [str(name) for name in names] for key, names in entries if isinstance(names, list)}
