"""The collection run: a bounded number of workers, each processing rollouts one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gymctl.errors import RunError
from gymctl.rollouts import events
from gymctl.rollouts.agent_health import Agent, backoff_s, halts_within
from gymctl.rollouts.attempt import Attempts
from gymctl.rollouts.concurrency import Adaptive, Fixed, Limit
from gymctl.rollouts.history import Tries
from gymctl.rollouts.journal import Journal
from gymctl.rollouts.pending import Pending, Rows, by_company
from gymctl.rollouts.report import Report
from gymctl.rollouts.spec import RunSpec
from gymctl.rollouts.start import Opening, open_run, take_lock

if TYPE_CHECKING:
    from gymctl.server.calls.client import Client

LOOK_EVERY_S, TICK_EVERY_S, SYNC_EVERY_S = 0.05, 1.0, 5.0


async def collect(
    run: RunSpec,
    client: Client,
    *,
    on_event: events.OnEvent,
    stop: asyncio.Event,
    abort: asyncio.Event | None = None,
) -> Report:
    """Collect the rollouts of a run.

    Args:
        run: what to do.
        client: reaches the agents by name.
        on_event: called with every event, on the event loop: it must return quickly.
        stop: when set, nothing new is started, what is in flight gets ``run.grace_s`` seconds, then the run ends.
        abort: when set after ``stop``, what is in flight is cut off at once.

    Returns:
        The report; ``interrupted`` when stopped, ``stalled`` when nothing answered any more.

    Raises:
        InputError: the input or the options are wrong; nothing was changed.
        RunError: the disk is full, or the output is in use; what was reported as finished is safely written.
    """
    from gymctl.rollouts.finish import close_run

    lock = await asyncio.to_thread(take_lock, run)
    try:
        opening = await asyncio.to_thread(open_run, run, lock)
        session = Session(run, client, opening, on_event)
        report = await session.run_to_end(stop, abort or asyncio.Event())
        await close_run(run, client, report, on_event)
    finally:
        lock.release()
    return report


class Session:
    """State of one call of ``collect``."""

    def __init__(self, run: RunSpec, client: Client, opening: Opening, emit: events.OnEvent) -> None:
        self.run, self.emit = run, emit
        self.started = time.monotonic()
        self.report = _report_of(run, opening)
        self._failed_before = self.report.failed
        self.history = opening.history
        self.halted = asyncio.Event()
        self.limit: Limit = Adaptive(time.monotonic) if run.concurrency == "auto" else Fixed(run.concurrency)
        self.rows = Rows(run.files.materialized)
        self.results = Journal(run.output)
        self.failures = Journal(run.files.failures)
        self.attempts = Attempts(self, client, opening.inputs.agents)
        self.deferred: list[Pending] = []
        self._peak = self.limit.now
        self._at_most: int | None = None
        self.fatal: BaseException | None = None
        self._wave: Iterator[Pending] = iter(())
        self._wave_agents: frozenset[str] = frozenset()
        self._resting: frozenset[str] = frozenset()
        self._dry = False
        self._workers: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._over = asyncio.Event()

    async def run_to_end(self, stop: asyncio.Event, abort: asyncio.Event) -> Report:
        """Run all waves and the watchers, and clean up whatever happens."""
        report = self.report
        self.emit(events.Started(report.total, report.already_done, report.failed))
        for note in report.notes:
            self.emit(events.Note(note))
        clock, listener = asyncio.create_task(self._keep_time()), asyncio.create_task(self._obey(stop, abort))
        clock.add_done_callback(self._clock_ended)
        try:
            await self._waves()
        finally:
            self._cut_off()
            self._over.set()
            listener.cancel()
            await asyncio.gather(*self._workers, clock, listener, return_exceptions=True)
            self._close()
        if self.fatal:
            raise self.fatal
        report.interrupted = stop.is_set() and report.total > report.done + report.failed
        report.unfinished = max(0, report.total - report.done - report.failed)
        report.wall_s = time.monotonic() - self.started
        return report

    def _close(self) -> None:
        self.rows.close()
        for journal in (self.results, self.failures):
            try:
                journal.close()
            except RunError as error:
                self.fatal = self.fatal or error

    # -- waves: first the whole input, then what failed in a way that may pass

    async def _waves(self) -> None:
        await self._one_wave(self.rows.pending(self.history), frozenset(self.attempts.agents))
        rests = 0
        while self.deferred and not self.halted.is_set():
            batch, self.deferred = self.deferred, []
            if any(pending.tries != Tries() or pending.doubts for pending in batch):
                rests += 1
                self._resting = frozenset(pending.agent for pending in batch)
                await halts_within(self.halted, backoff_s(rests + 2))
                self._resting = frozenset()
            for company, some in by_company(batch, self._peak):
                await self._one_wave(some, frozenset(pending.agent for pending in some), company)

    async def _one_wave(self, wave: Iterable[Pending], agents: frozenset[str], at_most: int | None = None) -> None:
        self._wave, self._wave_agents, self._dry = iter(wave), agents, False
        self._at_most = at_most
        while True:
            self._idle.clear()
            self._grow()
            if not self._workers:  # it is dry, or the run halts
                break
            await self._idle.wait()
        if not self.halted.is_set():
            await self.attempts.final_failures.end_of_wave()

    @property
    def alone(self) -> bool:
        """Whether one rollout at a time is in flight."""
        return self.allowed == 1

    @property
    def allowed(self) -> int:
        """How many rollouts may be in flight now."""
        self._peak = max(self._peak, self.limit.now)
        return self.limit.now if self._at_most is None else min(self.limit.now, self._at_most)

    def _grow(self) -> None:
        while len(self._workers) < self.allowed and not self._dry and not self.halted.is_set():
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._worker_ended)
            if len(self._workers) > self.report.total:
                break

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not self._workers:
            self._idle.set()
        if not worker.cancelled() and (error := worker.exception()):
            self.fail(error)

    async def _work(self) -> None:
        while not self.halted.is_set():
            pending = next(self._wave, None)
            if pending is None:
                self._dry = True
                return
            await self.attempts.make(self.attempts.agents[pending.agent], pending)
            if len(self._workers) > self.allowed:
                self._leave()
                return
            self._grow()

    def _leave(self) -> None:
        """Stop being counted immediately, before another worker that ends in the same loop iteration counts."""
        worker = asyncio.current_task()
        if worker is not None:
            self._workers.discard(worker)

    def sets_aside(self, agent: Agent) -> bool:
        """Whether a rollout of this agent should leave its worker to the rows of agents that work."""
        return not agent.due and any(not self.attempts.agents[name].suspect for name in self._wave_agents)

    def defer(self, pending: Pending) -> None:
        """Leave a rollout for the next wave."""
        pending.row = None
        self.deferred.append(pending)

    # -- watchers

    async def _keep_time(self) -> None:
        """Sync the files, report progress, and detect when no agent succeeds any more."""
        ticked = synced = time.monotonic()
        while not await halts_within(self._over, LOOK_EVERY_S):
            now = time.monotonic()
            if now - synced >= SYNC_EVERY_S:
                synced = now
                try:
                    await asyncio.to_thread(self._sync)
                except RunError as error:
                    self.fail(error)
            if now - ticked >= TICK_EVERY_S:
                ticked = now
                await self._check_files()
                self.emit(events.Tick(self.attempts.in_flight, self.limit.now, round(self.attempts.oldest_s(), 1)))
            self._notice_stall(now)

    async def _check_files(self) -> None:
        try:
            for journal in (self.results, self.failures):
                await asyncio.to_thread(journal.check)
        except RunError as error:
            self.fail(error)

    def _clock_ended(self, clock: asyncio.Task[None]) -> None:
        if not clock.cancelled() and (error := clock.exception()):
            self.fail(error)

    def _sync(self) -> None:
        self.results.sync()
        self.failures.sync()

    def _notice_stall(self, now: float) -> None:
        stall_s = self.run.stall_after_s
        agents = self.attempts.agents
        engaged = [agent for agent in agents.values() if agent.engaged or agent.name in self._resting]
        dead = [agent for agent in engaged if agent.dead_for(now) >= agent.patience_s(stall_s)]
        if engaged and len(dead) == len(engaged):
            causes = "; ".join(agent.last_words for agent in dead)
            seconds = max(agent.patience_s(stall_s) for agent in dead)
            self._give_up(f"Aborted after {seconds:g} s without a success: {causes}")

    def notice_failures(self) -> None:
        """Abort when more rollouts of this run have failed permanently than allowed."""
        failed, most = self.report.failed - self._failed_before, self.run.most_failures(self.report.total)
        if most is not None and failed > most:
            self._give_up(f"Stopped: {failed} rollouts failed for good, and --max-failures is {self.run.max_failures}")

    def _give_up(self, reason: str) -> None:
        if not self.halted.is_set():
            self.report.stalled = reason
            self.halt()
            self._cut_off()

    async def _obey(self, stop: asyncio.Event, abort: asyncio.Event) -> None:
        await stop.wait()
        self.halt()
        await halts_within(abort, self.run.grace_s)
        self._cut_off()

    def halt(self) -> None:
        """Start no further rollouts."""
        self.halted.set()
        for agent in self.attempts.agents.values():
            agent.wake()

    def fail(self, error: BaseException) -> None:
        """End the run with an error; the first one counts."""
        self.fatal = self.fatal or error
        self.halt()
        self._cut_off()

    def _cut_off(self) -> None:
        for worker in list(self._workers):
            worker.cancel()


def _report_of(run: RunSpec, opening: Opening) -> Report:
    history = opening.history
    report = Report(
        total=opening.inputs.rollouts,
        pass_threshold=run.pass_threshold,
        agents=dict(history.agents),
        notes=list(opening.notes),
    )
    report.done = report.already_done = len(history.done)
    report.failed = len(history.failed)
    for name, failure_class in history.failed.values():
        report.agent(name).failed[failure_class] += 1
    files = run.files
    report.files = {"rollouts": str(files.output), "inputs": str(files.materialized), "failures": str(files.failures)}
    return report
