"""State of a collection run, shared by its workers and their attempts: limits, files, report, and how it ends."""

from __future__ import annotations

import asyncio
import time

from gymctl.rollouts import events
from gymctl.rollouts.agent_health import Agent
from gymctl.rollouts.concurrency import Adaptive, ConcurrencyLimit, Fixed
from gymctl.rollouts.journal import Journal
from gymctl.rollouts.monitoring import RunMonitor
from gymctl.rollouts.pending import Pending, Rows
from gymctl.rollouts.report import Report
from gymctl.rollouts.spec import RunSpec
from gymctl.rollouts.start import RunStart
from gymctl.rollouts.tracing import RunTracer


class RunState:
    """State of one run. ``halted`` is set when no further rollouts may start."""

    def __init__(
        self, run: RunSpec, opening: RunStart, emit: events.OnEvent, monitor: RunMonitor | None = None
    ) -> None:
        self.run = run
        self.run_id: str = opening.record["run"]
        """Names the run in log lines."""
        self.emit = emit
        self.monitor = monitor
        """What counts for Prometheus; None when nothing does."""
        self.tracer: RunTracer | None = None
        """What traces rollouts; None when nothing does."""
        if run.trace_ratio is not None:
            self.tracer = RunTracer(self.run_id, run.trace_ratio, run.trace_slow_s, emit)
        self.history = opening.history
        self.report = _report_of(run, opening)
        self._failed_before = self.report.failed
        if monitor is not None:
            monitor.begin(opening.inputs.agents, self.report.total)
            self.emit = _both(monitor.on_event, emit)
        self.agents = {name: Agent(name, time.monotonic) for name in opening.inputs.agents}
        for name, agent in self.agents.items():
            agent.worked = name in self.history.agents
        self.limit: ConcurrencyLimit = Adaptive(time.monotonic) if run.concurrency == "auto" else Fixed(run.concurrency)
        self.peak = self.limit.now
        """The highest limit so far."""
        self.most_in_wave: int | None = None
        """Rollouts that the current wave allows in flight; None for no limit of its own."""
        self.wave_agents: frozenset[str] = frozenset()
        """Names of the agents of the current wave."""
        self.rows = Rows(run.files.materialized)
        self.results = Journal(run.output)
        self.failures = Journal(run.files.failures)
        self.deferred: list[Pending] = []
        """Rollouts left for the next wave."""
        self.workers: set[asyncio.Task[None]] = set()
        self.halted = asyncio.Event()
        self.fatal: BaseException | None = None
        """The error that ends the run."""

    @property
    def allowed(self) -> int:
        """How many rollouts may be in flight now."""
        self.peak = max(self.peak, self.limit.now)
        if self.most_in_wave is None:
            return self.limit.now
        return min(self.limit.now, self.most_in_wave)

    @property
    def alone(self) -> bool:
        """Whether one rollout at a time is in flight."""
        return self.allowed == 1

    def sets_aside(self, agent: Agent) -> bool:
        """Whether a rollout of this agent should leave its worker to the rows of agents that work."""
        return not agent.due and any(not self.agents[name].suspect for name in self.wave_agents)

    def kept_trace(self, pending: Pending) -> str:
        """The trace id of a rollout that has succeeded, if its trace is kept; otherwise empty."""
        if self.tracer is None or pending.trace is None or not self.tracer.keeps(pending.trace):
            return ""
        return pending.trace.trace_id

    def defer(self, pending: Pending) -> None:
        """Leave a rollout for the next wave."""
        pending.row = None
        self.deferred.append(pending)

    def notice_failures(self) -> None:
        """Abort when more rollouts of this run have failed permanently than allowed."""
        failed = self.report.failed - self._failed_before
        most = self.run.most_failures(self.report.total)
        if most is not None and failed > most:
            text = f"Stopped: {failed} rollouts failed permanently, and --max-failures is {self.run.max_failures}"
            self.give_up(text)

    def give_up(self, reason: str) -> None:
        """Abort the run as stalled, for a reason that the report shows."""
        if not self.halted.is_set():
            self.report.stalled = reason
            self.halt()
            self.cut_off()

    def halt(self) -> None:
        """Start no further rollouts."""
        self.halted.set()
        for agent in self.agents.values():
            agent.wake()

    def fail(self, error: BaseException) -> None:
        """End the run with an error; the first one counts."""
        self.fatal = self.fatal or error
        self.halt()
        self.cut_off()

    def cut_off(self) -> None:
        """Cancel the rollouts in flight."""
        for worker in list(self.workers):
            worker.cancel()


def _report_of(run: RunSpec, opening: RunStart) -> Report:
    history = opening.history
    report = Report(
        total=opening.inputs.rollouts,
        pass_threshold=run.pass_threshold,
        agents=dict(history.agents),
        notes=list(opening.notes),
    )
    report.done = len(history.done)
    report.already_done = report.done
    report.failed = len(history.failed)
    for name, failure_class in history.failed.values():
        report.agent(name).failed[failure_class] += 1
    files = run.files
    report.files = {"rollouts": str(files.output), "inputs": str(files.materialized), "failures": str(files.failures)}
    return report


def _both(first: events.OnEvent, second: events.OnEvent) -> events.OnEvent:
    def emit(event: events.Event) -> None:
        """Pass an event to both."""
        first(event)
        second(event)

    return emit
