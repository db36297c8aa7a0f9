"""Which agents run a row, and which server is called for it.

First hit wins, as in NeMo Gym 0.6 and later: ``agent_map`` by the row's agent, then by its task source, then its
``_default``; the row's ``agent_ref``; the agent for rows that name none; the task source. ``fan_out`` sends a row to
several agents. A task of 0.7 (``task_id`` and ``task_input``) goes to the environment server of its taskset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gymctl.config.rows.row_fields import AGENT_REF, TASK_ID, TASK_INPUT, TASK_SOURCE
from gymctl.config.rows.row_routes import DEFAULT_ROUTE
from gymctl.config.upstream import AGENT_KIND, TASKSET_ROUTES
from gymctl.config.wording import did_you_mean
from gymctl.rollouts.rows import BadRowError
from gymctl.rollouts.spec import RunSpec


@dataclass(frozen=True)
class RowTarget:
    """One agent of a row."""

    agent: str
    """The name of the agent, which results are attributed to."""
    reference: Mapping[str, Any]
    """The row's ``agent_ref``."""
    server: str
    """The server that is called: the agent, or the environment server in front of it."""
    names: tuple[str, ...]
    """Names by which ``num_repeats`` may mean the row, first the agent's."""


def is_task(row: Mapping[str, Any]) -> bool:
    """Whether a row is a task as NeMo Gym 0.7 prepares them, whose columns are in ``task_input``."""
    return isinstance(row.get(TASK_ID), dict) and TASK_INPUT in row


class Router:
    """The routes of one run: its own options over those of the stack's configuration."""

    def __init__(self, run: RunSpec) -> None:
        self._run = run
        self._routes = run.routes
        self._agent_map = {**run.routes.agent_map, **run.agent_map}
        self._fan_out = {**run.routes.fan_out, **run.fan_out}
        self._tasksets = {**run.routes.tasksets, **run.environment_server_routes}

    def targets(self, row: Mapping[str, Any]) -> list[RowTarget]:
        """The agents of a row.

        Raises:
            BadRowError: it leads to none, or to one that the stack does not have.
        """
        source = _source(row)
        if is_task(row):
            return [self._of_task(row)]
        reference = row.get(AGENT_REF) or None
        own = _name_in(reference)
        basis = own or source
        names = self._fan_out.get(basis or "")
        if not names:
            names = [self._agent_of(own, source)]
        return [self._target(name, reference, own, basis) for name in names]

    def _agent_of(self, own: str | None, source: str | None) -> str:
        """The agent of a row that names the agent ``own``, and comes from ``source``."""
        mapped = (self._agent_map.get(key or "") for key in (own, source, DEFAULT_ROUTE))
        name = next((agent for agent in mapped if agent), None) or own or self._run.agent
        if name:
            return name
        if source is None:
            hint = f'add "agent_ref": {{"name": ...}} or --agent NAME{_listed(self._run.agents)}'
            raise BadRowError(f"the row names no agent; {hint}")
        if source in self._routes.sources:
            return self._routes.sources[source]
        raise BadRowError(f"task_source {source!r}: {self._why_not(source)}")

    def _why_not(self, source: str) -> str:
        """Why a task source leads to no agent, and what to do."""
        if source in self._routes.unroutable:
            return self._routes.unroutable[source]
        match = did_you_mean(source, [*self._routes.sources, *self._routes.unroutable])
        hint = match or f"name its agent with +agent_map.{source}=AGENT, or --agent NAME{_listed(self._run.agents)}"
        return f"no agent or resources server of the stack has this name; {hint}"

    def _target(self, name: str, reference: Any, own: str | None, basis: str | None) -> RowTarget:
        if self._run.agents and name not in self._run.agents:
            raise BadRowError(no_such_agent(name, self._run.agents))
        fronts = self._routes.fronts.get(name, ())
        if len(fronts) > 1:
            problem = f"the agent {name!r} has several environment servers ({', '.join(fronts)})"
            raise BadRowError(f"{problem}; prepare the rows as tasks with a taskset, which names one")
        if name != own:
            reference = {"name": name}
        names = dict.fromkeys(part for part in (name, basis) if part)
        return RowTarget(agent=name, reference=reference, server=(*fronts, name)[0], names=tuple(names))

    def _of_task(self, row: Mapping[str, Any]) -> RowTarget:
        taskset = row[TASK_ID].get("taskset")
        if not isinstance(taskset, str) or not taskset:
            raise BadRowError('task_id has no taskset; it must be {"taskset": NAME, "task_id": NAME}')
        server = self._tasksets.get(taskset)
        if server is None:
            hint = f"add +{TASKSET_ROUTES}.{taskset}=ENVIRONMENT_SERVER"
            raise BadRowError(f"no environment server is named for the taskset {taskset!r}; {hint}")
        if server not in self._routes.servers:
            known = (
                did_you_mean(server, self._routes.servers) or f"available: {', '.join(self._routes.servers) or 'none'}"
            )
            raise BadRowError(f"taskset {taskset!r}: the stack has no environment server {server!r}; {known}")
        agent = self._routes.attributed.get(server, server)
        return RowTarget(agent=agent, reference={"name": agent}, server=server, names=(agent, taskset))


def repeats_of(target: RowTarget, repeats: int | Mapping[str, int]) -> int:
    """How many rollouts of a row a target gets.

    Raises:
        BadRowError: the repeats are by name, and name neither the row nor ``_default``.
    """
    if isinstance(repeats, int):
        return repeats
    count = next((repeats[name] for name in (*target.names, DEFAULT_ROUTE) if name in repeats), None)
    if count is None:
        raise BadRowError(f"num_repeats has no entry for agent {target.agent!r} and no _default; add one of them")
    return count


def no_such_agent(name: str, agents: Sequence[str]) -> str:
    """The message for an agent that the stack does not have."""
    match = did_you_mean(name, agents)
    if match:
        hint = f"; {match}"
    else:
        hint = _listed(agents)
    return f"the stack has no agent {name!r}{hint}"


def _listed(agents: Sequence[str]) -> str:
    if agents:
        return f" (agents: {', '.join(agents)})"
    return ""


def _name_in(reference: Any) -> str | None:
    """The agent that a row names; None when it names none."""
    if reference is None:
        return None
    if not isinstance(reference, dict) or not isinstance(reference.get("name"), str) or not reference["name"]:
        raise BadRowError('agent_ref must be an object with a name, such as {"name": "my_agent"}')
    kind = reference.get("type", AGENT_KIND)
    if kind != AGENT_KIND:
        raise BadRowError(f"agent_ref has the type {kind!r}; it must be {AGENT_KIND!r}")
    name: str = reference["name"]
    return name


def _source(row: Mapping[str, Any]) -> str | None:
    source = row.get(TASK_SOURCE)
    if source is not None and not isinstance(source, str):
        raise BadRowError(f"task_source is {source!r}; it must be the name of an agent or of a resources server")
    return source or None
