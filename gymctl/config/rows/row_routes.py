"""Where rows go that do not name their agent: the routes of a configuration, as NeMo Gym 0.6 and later read them.

A row has a ``task_source``, the name of the server that declares its data set: an agent runs its own rows, the rows of
a resources server are run by the agent that refers to it. A task of 0.7 has a taskset, which leads to an environment
server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
    sources, unroutable = _sources(servers)
    in_front = [item for item in servers if item.kind == ENVIRONMENT_KIND and item.implementation != RELAY]
    fronts: dict[str, list[str]] = {}
    for server in in_front:
        for agent in agents_of(server.fields):
            fronts.setdefault(agent, []).append(server.name)
    return RowRoutes(
        sources=sources,
        unroutable=unroutable,
        fronts=fronts,
        tasksets=_texts(values.get(TASKSET_ROUTES)),
        servers=[server.name for server in in_front],
        attributed=_attributed(in_front),
        agent_map=_texts(values.get("agent_map")),
        fan_out=_lists(values.get("fan_out")),
    )


class _Server(NamedTuple):
    """A server of the configuration."""

    name: str
    kind: str
    implementation: str
    fields: dict[str, Any]


def _sources(servers: Sequence[_Server]) -> tuple[dict[str, str], dict[str, str]]:
    """Task sources: those that lead to an agent, with it, and the others, with the reason."""
    callers: dict[str, list[str]] = {}
    for server in servers:
        if server.kind == AGENT_KIND:
            callers.setdefault(str(_name_in(server.fields.get("resources_server"))), []).append(server.name)
    sources: dict[str, str] = {}
    unroutable: dict[str, str] = {}
    for name, kind, _, fields in servers:
        if kind == ENVIRONMENT_KIND:
            continue
        candidates = [name] if kind == AGENT_KIND else callers.get(name, [])
        pins = _pins(fields)
        problem = _problem(name, candidates, pins)
        if problem:
            unroutable[name] = problem
        else:
            sources[name] = (pins or candidates)[0]
    return sources, unroutable


def _attributed(servers: Sequence[_Server]) -> dict[str, str]:
    """Environment servers whose results belong to one agent, with it."""
    agents = {server.name: agents_of(server.fields) for server in servers}
    return {
        server.name: agents[server.name][0]
        for server in servers
        if len(agents[server.name]) == 1 or (agents[server.name] and "agent_server" in server.fields)
    }


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


def _servers(values: Mapping[str, Any]) -> Iterator[_Server]:
    """Agents, resources servers and environment servers."""
    for name, value in values.items():
        for kind in (AGENT_KIND, RESOURCES_KIND, ENVIRONMENT_KIND):
            inner = value.get(kind) if isinstance(value, dict) else None
            if isinstance(inner, dict) and len(inner) == 1:
                implementation, fields = next(iter(inner.items()))
                if isinstance(fields, dict):
                    yield _Server(str(name), kind, str(implementation), fields)


def _name_in(reference: Any) -> Any:
    return reference.get("name") if isinstance(reference, dict) else None


def _texts(value: Any) -> dict[str, str]:
    return {str(key): item for key, item in value.items() if isinstance(item, str)} if isinstance(value, dict) else {}


def _lists(value: Any) -> dict[str, list[str]]:
    entries = value.items() if isinstance(value, dict) else ()
    return {str(key): [str(name) for name in names] for key, names in entries if isinstance(names, list)}
