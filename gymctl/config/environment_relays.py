"""The agents of environment servers, and those that need no process: an agent of any release answers ``/run`` itself.

Clients of NeMo Gym 0.7 send a rollout to the environment server that names the row's agent. The relay ``legacy_agent``
only passes it on, so that an entry with the agent's own address does the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gymctl.config.upstream import AGENT_KIND, ENVIRONMENT_KIND, RELAY, RELAY_SUFFIX

_AGENT_FIELD = "agent_server"


def with_relays(values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with an environment server for each agent; relays have the address of their agent.

    Args:
        values: the top level of a configuration, the addresses of agents filled in; it is not changed.
    """
    addresses = {name: _address(fields) for name, kind, _, fields in _entries(values) if kind == AGENT_KIND}
    complete = dict(values)
    fronted: set[str] = set()
    for name, kind, implementation, fields in _entries(values):
        if kind == ENVIRONMENT_KIND:
            agents = agents_of(fields)
            fronted.update(agents)
            if implementation == RELAY and agents and agents[0] in addresses:
                complete[name] = {ENVIRONMENT_KIND: {RELAY: {**fields, **addresses[agents[0]]}}}
    for name, kind, implementation, _ in _entries(values):
        if kind == AGENT_KIND and name not in fronted:
            complete[_unused_name(name, implementation, complete)] = _relay(name, addresses[name])
    return complete


def agents_of(fields: Mapping[str, Any]) -> list[str]:
    """The agents that an environment server names, ``agent_server`` first: results are attributed to that one."""
    return list(dict.fromkeys(str(reference["name"]) for reference in _references(fields)))


def follow_renamed_agents(
    before: Mapping[str, Any], values: Mapping[str, Any], moved: Mapping[str, Iterable[str]]
) -> None:
    """Let environment servers name an agent as it is called after a directive moved it, as NeMo Gym 0.7 does.

    Args:
        before: the top level of a configuration before its directives.
        values: the one after them; references in it are changed.
        moved: the names that each name at the top level was moved to. An agent moved to several is not followed.
    """
    former = {name for name, kind, *_ in _entries(before) if kind == AGENT_KIND}
    agents = {name for name, kind, *_ in _entries(values) if kind == AGENT_KIND}
    renamed: dict[str, str] = {}
    for name in former.intersection(moved).difference(values):
        targets = agents.intersection(moved[name])
        if len(targets) == 1:
            renamed[name] = targets.pop()
    for _, kind, _, fields in _entries(values):
        if kind == ENVIRONMENT_KIND:
            for reference in _references(fields):
                reference["name"] = renamed.get(str(reference["name"]), reference["name"])


def _references(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The references of an environment server to agents, ``agent_server`` first."""
    references = {key: value for key, value in fields.items() if isinstance(value, dict)}
    return [
        value
        for key, value in sorted(references.items(), key=lambda item: item[0] != _AGENT_FIELD)
        if value.get("name") and (value.get("type") == AGENT_KIND or (key == _AGENT_FIELD and "type" not in value))
    ]


def relay_name(agent: str, implementation: str) -> str:
    """The name that NeMo Gym's parser gives the relay of an agent: the name of its environment.

    >>> relay_name("workplace_assistant_simple_agent", "simple_agent")
    'workplace_assistant_environment_server'
    """
    stem = agent.removesuffix(f"_{implementation}").removesuffix(implementation).rstrip("_")
    if stem == agent:
        stem = agent.removesuffix("_agent").rstrip("_")
    return f"{stem or implementation}{RELAY_SUFFIX}"


def _unused_name(agent: str, implementation: str, taken: Mapping[str, Any]) -> str:
    name = relay_name(agent, implementation)
    if name in taken:
        name = f"{agent}{RELAY_SUFFIX}"
    while name in taken:
        name += RELAY_SUFFIX
    return name


def _relay(agent: str, address: Mapping[str, Any]) -> dict[str, Any]:
    reference = {"type": AGENT_KIND, "name": agent}
    return {ENVIRONMENT_KIND: {RELAY: {"entrypoint": "app.py", _AGENT_FIELD: reference, **address}}}


def _address(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fields[key] for key in ("host", "port") if key in fields}


def _entries(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Agents and environment servers: name, kind, implementation, fields."""
    for name, value in values.items():
        if not isinstance(value, dict):
            continue
        for kind in (AGENT_KIND, ENVIRONMENT_KIND):
            inner = value.get(kind)
            if isinstance(inner, dict) and len(inner) == 1:
                implementation, fields = next(iter(inner.items()))
                if isinstance(fields, dict):
                    yield name, kind, str(implementation), fields
