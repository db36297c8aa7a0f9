"""One attempt at a rollout: call the agent, judge the reply, retry immediately if that may help, write the outcome."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from gymctl.config.rows.row_fields import TIMING, TOOL_ERRORS
from gymctl.errors import RunError
from gymctl.rollouts import events
from gymctl.rollouts.agent_health import TRIES_ON_THE_SPOT, Agent, backoff_s, halts_within
from gymctl.rollouts.episodes import episode_request, episode_result
from gymctl.rollouts.failures import Failure, FailureEvidence, failure_row
from gymctl.rollouts.final_failures import FinalFailures, Held
from gymctl.rollouts.pending import Pending
from gymctl.rollouts.result_line import NotAResultError, result_line
from gymctl.rollouts.run_state import RunState
from gymctl.rollouts.timing import parse_server_timing
from gymctl.rollouts.tool_errors import parse_tool_errors
from gymctl.server.calls.client import SESSION_LOST, HopFailed, unanswered
from gymctl.server.message import TOOL_ERRORS_HEADER
from gymctl.server.rollout_context import RolloutContext, in_rollout
from gymctl.server.tracing import recording

if TYPE_CHECKING:
    from gymctl.server.calls.client import Client

# A transport ends a call at its deadline; should one not, this much later the collector does.
_BELT_S = 5.0


class Attempts:
    """Make the attempts of a collection run."""

    def __init__(self, state: RunState, client: Client) -> None:
        self.in_flight = 0
        self._state = state
        self._client = client
        self._run = state.run
        self._report = state.report
        self._done: dict[str, Pending] = {}
        self._began: dict[int, float] = {}  # of those in flight, the oldest first
        self.final_failures = FinalFailures(state.agents, self._settle, self._control, self._run.max_attempts)

    def oldest_s(self) -> float:
        """Seconds for which the oldest rollout in flight has run; 0 when there is none."""
        began = next(iter(self._began.values()), None)
        if began is None:
            return 0.0
        return time.monotonic() - began

    async def make(self, agent: Agent, pending: Pending) -> None:
        """One attempt: a line in the output, or one in the sidecar; neither when the run halts or it is set aside."""
        agent.in_hand += 1
        try:
            await self._make(agent, pending)
        finally:
            agent.in_hand -= 1

    async def _make(self, agent: Agent, pending: Pending) -> None:
        arrived = time.monotonic()
        if self._state.tracer is not None:
            self._state.tracer.begin(pending)
        deadline: float | None = None
        tries = 0
        while True:
            if self._state.sets_aside(agent):
                self._state.defer(pending)
                return
            probe = await agent.admit(self._state.halted)
            if self._state.halted.is_set():
                return
            started = time.monotonic()
            deadline = deadline or started + self._run.deadline_s
            tries += 1
            try:
                failure = await self._call(agent, pending, arrived, started, deadline, tries)
                if failure is None:
                    return
                self._blame(agent, failure, probe)
                if self._state.tracer is not None:
                    self._state.tracer.attempt_failed(pending, failure)
            finally:
                if probe:
                    agent.probe_over()
            again = self._wait_before_retry(agent, failure, tries, deadline)
            if again is None:
                await self._record(agent, pending, failure)
                return
            if await halts_within(self._state.halted, again):
                return

    async def _call(
        self, agent: Agent, pending: Pending, arrived: float, started: float, deadline: float, tries: int
    ) -> Failure | None:
        """Call the agent once; the result is journalled, or the failure returned."""
        state = self._state
        agent.in_flight += 1
        self.in_flight += 1
        self._began[id(pending)] = started
        try:
            body, hops, tool_errors = await self._post(pending, deadline, tries)
            ended = time.monotonic()
            trace_id = state.kept_trace(pending)
            timing: dict[str, Any] = {
                "queue_ms": round((started - arrived) * 1000, 2),
                "total_ms": round((ended - started) * 1000, 2),
                "tries": tries,
                "hops": hops,
            }
            if trace_id:
                timing["trace_id"] = trace_id
            result = result_line(body, self._identity(pending, timing, tool_errors), agent.name)
            if state.monitor is not None:
                times = (started - arrived, ended - started)
                state.monitor.finished(agent.name, pending.task, result.reward, times, hops, body)
                state.monitor.tools_failed(agent.name, sum(tool_errors.values()))
            state.limit.succeeded(self.in_flight)
            was_suspect = agent.suspect
            agent.succeeded()
            self._done.setdefault(agent.name, pending.repeated())
            # in flight until it is written: a kill costs as many rollouts as may run at once, and no more
            ms = (ended - arrived) * 1000
            finished = result.finished(agent.name, ms, hops.get("model", 0.0))
            await state.results.keep(result.line, partial(self._count, finished, tool_errors))
            if state.tracer is not None and trace_id:
                state.tracer.finished(pending, result.reward)
            await self.final_failures.settle(agent, started, was_suspect=was_suspect)
        except HopFailed as error:
            return Failure.of(error)
        except NotAResultError as error:
            return error.failure
        except RunError:
            raise
        except Exception as error:  # noqa: BLE001  the per-rollout guard: no single rollout ends the run
            return Failure.of_bug(error, agent.name)
        finally:
            agent.in_flight -= 1
            self.in_flight -= 1
            del self._began[id(pending)]
        return None

    def _identity(self, pending: Pending, timing: dict[str, Any], tool_errors: dict[str, int]) -> dict[str, Any]:
        """The fields that the collector adds to a result."""
        identity = pending.identity
        if self._run.timing:
            identity[TIMING] = timing
        if tool_errors:
            identity[TOOL_ERRORS] = tool_errors
        return identity

    async def _post(
        self, pending: Pending, deadline: float, tries: int
    ) -> tuple[bytes, dict[str, float], dict[str, int]]:
        """The result of a rollout, the time spent per hop, and the tool calls that failed."""
        row = self._state.rows.body(pending)
        episode = None
        if pending.environment_server:
            attempt = pending.tries.attempts + tries - 1
            episode = episode_request(row, pending.task, pending.repeat, attempt)
        context = RolloutContext(self._state.run_id, f"{pending.task}:{pending.repeat}")
        with in_rollout(context), recording(pending.trace.recorder if pending.trace else None):
            body, hops, tool_errors = await self._send(pending.server, episode or row, deadline)
        return episode_result(body, pending.server) if episode else body, hops, tool_errors

    async def _send(self, name: str, row: bytes, deadline: float) -> tuple[bytes, dict[str, float], dict[str, int]]:
        """The body of a 200, the time spent per hop, and the tool calls that failed."""
        seconds = max(0.0, deadline - time.monotonic())
        try:
            async with asyncio.timeout(seconds + _BELT_S):
                reply = await self._client.post(name, "/run", row, deadline=deadline)
        except TimeoutError as error:
            raise HopFailed(name, "/run", kind="timeout", body=unanswered(seconds)) from error
        if not 200 <= reply.status < 300:
            raise HopFailed.of(name, "/run", reply)
        tool_errors = parse_tool_errors(reply.headers.get(TOOL_ERRORS_HEADER, ""))
        return reply.body, parse_server_timing(reply.headers.get("server-timing", "")), tool_errors

    def _count(self, finished: events.Finished, tool_errors: dict[str, int]) -> None:
        self._report.done += 1
        self._report.agent(finished.agent).count(finished.reward, tool_errors, is_masked=bool(finished.masked))
        self._state.emit(finished)

    def _blame(self, agent: Agent, failure: Failure, probe: bool) -> None:
        """Report a failure to the agent's endpoint and the concurrency limit."""
        if failure.declared and not failure.retriable:
            agent.answered()
            return
        if failure.refused or failure.failure_class == "timeout":
            self._state.limit.refused()
        pause = agent.failed(failure, probe)
        if pause is not None:
            self._state.emit(events.Paused(agent.name, failure.failure_class, pause, failure.message))

    def _wait_before_retry(self, agent: Agent, failure: Failure, tries: int, deadline: float) -> float | None:
        """Seconds until the next immediate retry; None when there will be none.

        A rollout whose server ended is not tried on the spot: if it was the cause, it would take its neighbours along
        again.
        """
        if not failure.retriable or failure.evidence is FailureEvidence.COLLATERAL or tries >= TRIES_ON_THE_SPOT:
            return None
        delay = backoff_s(tries, failure.retry_after)
        if time.monotonic() + delay >= deadline or not agent.take_token():
            return None
        self._report.retries += 1
        self._state.emit(events.Retrying(agent.name, failure.failure_class, delay))
        return delay

    async def _record(self, agent: Agent, pending: Pending, failure: Failure) -> None:
        """Write the failure; leave the rollout for the next wave unless it is final."""
        tries = pending.tries
        attempt = tries.attempts
        evidence = failure.evidence
        if evidence is FailureEvidence.FINAL:
            await self.final_failures.add(agent, pending, failure)
            return
        alone = self._state.alone and failure.failure_class != SESSION_LOST  # which a server's restart alone may be
        counted = evidence is FailureEvidence.AGAINST or (evidence is FailureEvidence.COLLATERAL and alone)
        final = False
        if counted:
            tries.attempts += 1
            final = tries.attempts >= self._run.max_attempts
        elif evidence is FailureEvidence.COLLATERAL and not self._state.alone:
            tries.crashes += 1
        else:
            tries.refusals += 1
            final = await self.final_failures.refused_for_good(agent, pending)
        await self._write(agent, pending, failure, attempt=attempt, counted=counted, final=final)

    async def _settle(self, agent: Agent, held: Held, final: bool) -> None:
        attempt = held.pending.tries.attempts
        await self._write(agent, held.pending, held.failure, attempt=attempt, counted=final, final=final)

    async def _write(
        self, agent: Agent, pending: Pending, failure: Failure, *, attempt: int, counted: bool, final: bool
    ) -> None:
        row = failure_row(failure, pending, attempt, counted=counted, terminal=final)
        await self._state.failures.keep(row, partial(self._count_failure, agent.name, failure, final))
        if final and self._state.tracer is not None:
            self._state.tracer.failed(pending, failure)
        if not final:
            self._state.defer(pending)

    async def _control(self, agent: Agent) -> bool | None:
        """Repeat a finished rollout and discard its result, to see whether the agent works."""
        pending = self._done.get(agent.name)
        if pending is None and agent.worked:
            pending = await asyncio.to_thread(self._state.rows.first_done, agent.name, self._state.history)
        if pending is None or self._state.halted.is_set():
            return None
        self._done[agent.name] = pending.repeated()
        text = "repeating a finished rollout to see whether the agent or a row is at fault; its result is discarded"
        self._state.emit(events.RunNote(f"{agent.name}: {text}"))
        failure = await self._try_control(agent, pending)
        tries = 1
        # a server that has just ended is started again: what cannot be reached now may be in a moment
        while failure is not None and failure.retriable and tries < TRIES_ON_THE_SPOT:
            if await halts_within(self._state.halted, backoff_s(tries, failure.retry_after)):
                return None
            failure = await self._try_control(agent, pending)
            tries += 1
        if failure is not None:
            self._blame(agent, failure, probe=True)
            return False
        agent.succeeded()
        return True

    async def _try_control(self, agent: Agent, pending: Pending) -> Failure | None:
        agent.in_flight += 1
        try:
            deadline = time.monotonic() + self._run.deadline_s
            body, *_ = await self._post(pending, deadline, tries=1)
            result_line(body, {}, agent.name)
        except HopFailed as error:
            return Failure.of(error)
        except NotAResultError as error:
            if error.failure.declared:
                return None
            return error.failure
        finally:
            agent.in_flight -= 1
        return None

    def _count_failure(self, name: str, failure: Failure, final: bool) -> None:
        if final:
            self._report.failed += 1
            self._report.agent(name).failed[failure.failure_class] += 1
            self._report.failure_examples.setdefault(f"{name}: {failure.failure_class}", failure.message)
        self._state.emit(events.Failed(name, failure.failure_class, failure.message, final))
        self._state.notice_failures()
