"""Failures that would be final are held until it is known that the row is their cause, and not an illness of its agent.

A key that is refused for five seconds, or a proxy's page instead of answers, fails every rollout sent meanwhile. So a
final failure counts when a rollout that began after it succeeds. When the agent failed throughout in between, what is
held is tried again instead. What fails last, with nothing after it that could succeed, is tried again too; where a key
or an address may be at fault it is held against a control: a rollout that is done already is sent once more, and its
result is thrown away.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gymctl.rollouts.agent_health import BAD_STREAK, Agent
from gymctl.rollouts.failures import Failure
from gymctl.rollouts.history import refused_too_often
from gymctl.rollouts.pending import Pending

# A rollout that fails once more after that many failures, with others of its agent succeeding in between, is the cause.
_MOST_DOUBTS = 2
# If no rollout of the agent has ever succeeded, only further tries can be compared.
_UNPROVEN_DOUBTS = 3


@dataclass
class Held:
    """One failure, and when it was met (``time.monotonic()``)."""

    pending: Pending
    failure: Failure
    at: float = field(default_factory=time.monotonic)


Record = Callable[[Agent, Held, bool], Awaitable[None]]
"""Writes a failure down, final or not; what is not final is left for the next wave."""
Control = Callable[[Agent], Awaitable[bool | None]]
"""Sends a finished rollout of the agent again: whether it succeeds, None when the agent has none."""


class FinalFailures:
    """The failures that are held, by agent."""

    def __init__(self, agents: Mapping[str, Agent], record: Record, control: Control, max_attempts: int) -> None:
        self._record = record
        self._control = control
        self._max_attempts = max_attempts
        self._agents = agents
        self._held: dict[str, list[Held]] = {name: [] for name in agents}

    async def add(self, agent: Agent, pending: Pending, failure: Failure) -> None:
        """Take a failure that would be final; it is written down when its cause is known."""
        held = Held(pending, failure)
        if failure.declared or (pending.doubts >= _MOST_DOUBTS and agent.worked):
            await self._record(agent, held, True)
        else:
            self._held[agent.name].append(held)

    async def settle(self, agent: Agent, began: float, *, was_suspect: bool) -> None:
        """A rollout that ``began`` then has succeeded: what failed before is known to be the rows' own.

        When the agent ``was_suspect``, nothing is known of them, and they are tried again.
        """
        held = self._held[agent.name]
        if not held:
            return
        settled = [item for item in held if was_suspect or item.at <= began]
        self._held[agent.name] = [item for item in held if item not in settled]
        for item in settled:
            await self._settle(agent, item, final=not was_suspect)

    async def end_of_wave(self) -> None:
        """Nothing else is left to try: decide about what is held still, or leave it for another wave."""
        for name, held in self._held.items():
            self._held[name] = []
            agent = self._agents[name]
            few = len(held) < BAD_STREAK and not agent.suspect
            due = [item for item in held if item.pending.doubts or (few and item.failure.of_the_setup)]
            works = bool(due) and agent.worked and bool(await self._control(agent))
            for item in held:
                if not agent.worked:
                    final = item.pending.doubts >= _UNPROVEN_DOUBTS and not item.failure.of_the_setup
                    await self._settle(agent, item, final=final)
                elif item not in due:
                    await self._settle(agent, item, final=False)
                else:
                    await self._compare(agent, item, works=works, few=few)

    async def _compare(self, agent: Agent, item: Held, *, works: bool, few: bool) -> None:
        """Judge a failure by the control: of many that failed together, each has one more try after it."""
        if works and not few:
            item.pending.doubts = _MOST_DOUBTS
        await self._record(agent, item, works and few)

    async def refused_for_good(self, agent: Agent, pending: Pending) -> bool:
        """Whether a rollout that is turned away again and again is itself the cause: others are not turned away."""
        if agent.in_flight or not refused_too_often(pending.tries.refusals, self._max_attempts):
            return False
        works = await self._control(agent)
        if works is None:  # no rollout of this agent ever succeeded: an outage, or every row is rejected
            return refused_too_often(pending.earlier_refusals, self._max_attempts)
        return works

    async def _settle(self, agent: Agent, item: Held, *, final: bool) -> None:
        if not final:
            item.pending.doubts += 1
        await self._record(agent, item, final)
