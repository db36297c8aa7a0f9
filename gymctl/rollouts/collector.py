"""The collection run: a bounded number of workers, each processing rollouts one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gymctl.errors import RunError
from gymctl.rollouts import events
from gymctl.rollouts.agent_health import backoff_s, halts_within
from gymctl.rollouts.attempt import Attempts
from gymctl.rollouts.history import Tries
from gymctl.rollouts.identity import ended_record
from gymctl.rollouts.monitoring import monitored
from gymctl.rollouts.pending import Pending, by_company
from gymctl.rollouts.report import Report
from gymctl.rollouts.run_state import RunState
from gymctl.rollouts.spec import RunSpec
from gymctl.rollouts.start import open_run, take_lock

if TYPE_CHECKING:
    from gymctl.server.calls.client import Client

LOOK_EVERY_S = 0.05
TICK_EVERY_S = 1.0
SYNC_EVERY_S = 5.0


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
        with monitored(run, on_event) as monitor:
            collection = CollectionRun(RunState(run, opening, on_event, monitor), client)
            report = await collection.run_to_end(stop, abort or asyncio.Event())
        await close_run(run, client, report, on_event)
        await asyncio.to_thread(lock.write, ended_record(opening.record, report))
    finally:
        lock.release()
    return report


class CollectionRun:
    """One call of ``collect``: its waves of rollouts, their workers, and the watchers."""

    def __init__(self, state: RunState, client: Client) -> None:
        self._state = state
        self._attempts = Attempts(state, client)
        self._started = time.monotonic()
        self._wave: Iterator[Pending] = iter(())
        self._resting: frozenset[str] = frozenset()
        self._dry = False
        self._idle = asyncio.Event()
        self._over = asyncio.Event()

    async def run_to_end(self, stop: asyncio.Event, abort: asyncio.Event) -> Report:
        """Run all waves and the watchers, and clean up whatever happens."""
        state = self._state
        report = state.report
        self._state.emit(events.Started(report.total, report.already_done, report.failed))
        for note in report.notes:
            self._state.emit(events.RunNote(note))
        clock = asyncio.create_task(self._keep_time())
        listener = asyncio.create_task(self._obey(stop, abort))
        clock.add_done_callback(self._clock_ended)
        try:
            await self._waves()
        finally:
            self._state.cut_off()
            self._over.set()
            listener.cancel()
            await asyncio.gather(*self._state.workers, clock, listener, return_exceptions=True)
            self._close()
        if self._state.fatal:
            raise self._state.fatal
        report.interrupted = stop.is_set() and report.total > report.done + report.failed
        report.unfinished = max(0, report.total - report.done - report.failed)
        report.wall_s = time.monotonic() - self._started
        return report

    def _close(self) -> None:
        self._state.rows.close()
        for journal in (self._state.results, self._state.failures):
            try:
                journal.close()
            except RunError as error:
                self._state.fatal = self._state.fatal or error

    # -- waves: first the whole input, then what failed in a way that may pass

    async def _waves(self) -> None:
        await self._one_wave(self._state.rows.pending(self._state.history), frozenset(self._state.agents))
        rests = 0
        while self._state.deferred and not self._state.halted.is_set():
            batch = self._state.deferred
            self._state.deferred = []
            if any(pending.tries != Tries() or pending.doubts for pending in batch):
                rests += 1
                self._resting = frozenset(pending.agent for pending in batch)
                await halts_within(self._state.halted, backoff_s(rests + 2))
                self._resting = frozenset()
            for company, some in by_company(batch, self._state.peak):
                await self._one_wave(some, frozenset(pending.agent for pending in some), company)

    async def _one_wave(self, wave: Iterable[Pending], agents: frozenset[str], at_most: int | None = None) -> None:
        self._wave = iter(wave)
        self._dry = False
        self._state.wave_agents = agents
        self._state.most_in_wave = at_most
        while True:
            self._idle.clear()
            self._grow()
            if not self._state.workers:  # it is dry, or the run halts
                break
            await self._idle.wait()
        if not self._state.halted.is_set():
            await self._attempts.final_failures.end_of_wave()

    def _grow(self) -> None:
        while len(self._state.workers) < self._state.allowed and not self._dry and not self._state.halted.is_set():
            worker = asyncio.create_task(self._work())
            self._state.workers.add(worker)
            worker.add_done_callback(self._worker_ended)
            if len(self._state.workers) > self._state.report.total:
                break

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._state.workers.discard(worker)
        if not self._state.workers:
            self._idle.set()
        if not worker.cancelled() and (error := worker.exception()):
            self._state.fail(error)

    async def _work(self) -> None:
        while not self._state.halted.is_set():
            pending = next(self._wave, None)
            if pending is None:
                self._dry = True
                return
            await self._attempts.make(self._state.agents[pending.agent], pending)
            if len(self._state.workers) > self._state.allowed:
                self._leave()
                return
            self._grow()

    def _leave(self) -> None:
        """Stop being counted immediately, before another worker that ends in the same loop iteration counts."""
        worker = asyncio.current_task()
        if worker is not None:
            self._state.workers.discard(worker)

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
                    self._state.fail(error)
            if now - ticked >= TICK_EVERY_S:
                ticked = now
                await self._check_files()
                self._state.emit(
                    events.Tick(self._attempts.in_flight, self._state.limit.now, round(self._attempts.oldest_s(), 1))
                )
            self._notice_stall(now)

    async def _check_files(self) -> None:
        try:
            for journal in (self._state.results, self._state.failures):
                await asyncio.to_thread(journal.check)
        except RunError as error:
            self._state.fail(error)

    def _clock_ended(self, clock: asyncio.Task[None]) -> None:
        if not clock.cancelled() and (error := clock.exception()):
            self._state.fail(error)

    def _sync(self) -> None:
        self._state.results.sync()
        self._state.failures.sync()

    def _notice_stall(self, now: float) -> None:
        stall_s = self._state.run.stall_after_s
        agents = self._state.agents
        engaged = [agent for agent in agents.values() if agent.engaged or agent.name in self._resting]
        dead = [agent for agent in engaged if agent.dead_for(now) >= agent.patience_s(stall_s)]
        if engaged and len(dead) == len(engaged):
            causes = "; ".join(agent.last_words for agent in dead)
            seconds = max(agent.patience_s(stall_s) for agent in dead)
            self._state.give_up(f"Aborted after {seconds:g} s without a success: {causes}")

    async def _obey(self, stop: asyncio.Event, abort: asyncio.Event) -> None:
        await stop.wait()
        self._state.halt()
        await halts_within(abort, self._state.run.grace_s)
        self._state.cut_off()
