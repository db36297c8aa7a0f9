"""Progress display: a bar on a terminal, plain lines elsewhere, JSON lines between a job and its host."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

from gymctl.config.wording import duration
from gymctl.rollouts import events

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PLAIN_EVERY_S = 5.0
_PLAIN_FIRST_S = 1.0
_COALESCE_S = 0.1
_CAUSE_LENGTH = 160


@dataclass
class Tally:
    """What the events add up to."""

    total: int = 0
    done: int = 0
    failed: int = 0
    in_flight: int = 0
    limit: int = 0
    oldest_s: float = 0.0
    reward: float = 0.0
    model_ms: float = 0.0
    session_done: int = 0
    masked: int = 0
    retries: int = 0
    pauses: dict[str, str] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)

    def take(self, event: events.Event) -> None:
        """Add one event."""
        match event:
            case events.Started():
                self.total = event.total
                self.done = event.already_done
                self.failed = event.already_failed
            case events.Finished():
                self.done += event.count
                self.session_done += event.count
                self.masked += event.masked
                self.reward += event.reward
                self.model_ms += event.model_ms
                self.pauses.pop(event.agent, None)
            case events.Failed():
                self.failed += event.final
                self.failures[event.failure_class] += 1
            case events.Retrying():
                self.retries += 1
            case events.Paused():
                self.pauses[event.agent] = event.message or event.failure_class
            case events.Tick():
                self.in_flight = event.in_flight
                self.limit = event.limit
                self.oldest_s = event.oldest_s
            case _:
                pass

    @property
    def finished(self) -> int:
        """Rollouts that need nothing more."""
        return self.done + self.failed

    @property
    def model_time(self) -> str:
        """Mean time that a rollout of this session spent at the model."""
        if self.session_done and self.model_ms:
            return f"{self.model_ms / 1000 / self.session_done:.1f} s"
        return "-"

    @property
    def mean_reward(self) -> str:
        """Mean reward of this session."""
        measured = self.session_done - self.masked
        if measured:
            return f"{self.reward / measured:.3f}"
        return "-"

    def line(self, seconds: float, printed: Mapping[str, str] = MappingProxyType({})) -> str:
        """One plain line, ``seconds`` after the start; ``printed`` are the causes printed before, by agent."""
        rate = self.session_done / seconds if seconds > 0 else 0.0
        left = f", {duration((self.total - self.finished) / rate)} left" if rate and self.total > self.finished else ""
        text = f"{self.done}/{self.total} rollouts, {rate:.1f}/s{left}, mean reward {self.mean_reward}"
        if self.failed:
            text += f", {self.failed} failed"
        if self.in_flight and self.finished < self.total:
            text += f", {self.in_flight} in flight"
            if self.oldest_s >= 1:
                text += f" (the oldest for {duration(self.oldest_s)})"
        if seconds >= 1:
            text += f", {duration(seconds)} elapsed"
        if self.model_ms:
            text += f", {self.model_time} at the model each"
        for agent, why in self.pauses.items():
            text += f"; {agent} is still failing" if printed.get(agent) == why else f"; {trouble(agent, why)}"
        return text


def trouble(agent: str, why: str) -> str:
    """An agent that is failing, and the cause; printed once."""
    return f"{agent} is failing ({_cut(why)}); retrying"


def _cut(why: str) -> str:
    if len(why) <= _CAUSE_LENGTH:
        return why
    return f"{why[:_CAUSE_LENGTH]}..."


@contextmanager
def display(
    stream: IO[str] | None = None, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
) -> Iterator[events.OnEvent]:
    """Show events while the block runs: a bar when ``stream`` (standard error) is a terminal, else a line now and then.

    Args:
        stream: where to.
        quiet: show nothing.
        clock: seconds.
    """
    stream = stream or sys.stderr
    if quiet:
        yield lambda event: None
    elif stream.isatty():
        with _bar(stream) as on_event:
            yield on_event
    else:
        yield _plain_lines(stream, clock)


def _plain_lines(stream: IO[str], clock: Callable[[], float]) -> events.OnEvent:
    tally = Tally()
    started = clock()
    due = started + _PLAIN_FIRST_S
    printed: dict[str, str] = {}

    def on_event(event: events.Event) -> None:
        """Show one event."""
        nonlocal due, started
        tally.take(event)
        now = clock()
        if isinstance(event, events.Started):
            started = now
            due = now + _PLAIN_FIRST_S
        if isinstance(event, events.RunNote):
            print(event.text, file=stream, flush=True)
        over = tally.total > 0 and tally.finished >= tally.total and isinstance(event, events.Finished | events.Failed)
        if over or now >= due:
            due = now + _PLAIN_EVERY_S
            print(tally.line(now - started, printed), file=stream, flush=True)
            printed.clear()
            printed.update(tally.pauses)

    return on_event


@contextmanager
def _bar(stream: IO[str]) -> Iterator[events.OnEvent]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from gymctl.config.console import Console

    columns = (
        TextColumn("rollouts"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f}/s"),
        TimeRemainingColumn(),
        TextColumn("reward {task.fields[reward]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[flight]}"),
        TextColumn("[red]{task.fields[trouble]}"),
    )
    with Progress(*columns, console=Console(file=stream), refresh_per_second=8) as progress:
        yield _Bar(progress).on_event


class _Bar:
    """Feeds a rich Progress, eight times a second at most: a bar must not cost what a rollout costs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tally = Tally()
        self._printed: dict[str, str] = {}
        self._task: TaskID | None = None
        self._started = self._printed_at = time.monotonic()

    def on_event(self, event: events.Event) -> None:
        """Show one event."""
        self._tally.take(event)
        if isinstance(event, events.RunNote):
            self._say(event.text)
        if isinstance(event, events.Paused) and self._printed.get(event.agent) != self._tally.pauses[event.agent]:
            self._printed[event.agent] = self._tally.pauses[event.agent]
            self._say(trouble(event.agent, self._printed[event.agent]))
        tally = self._tally
        now = time.monotonic()
        if isinstance(event, events.Started):
            self._started = now
        if self._task is None:
            self._task = self._progress.add_task(
                "rollouts", total=tally.total or None, rate=0.0, reward="-", flight="", trouble=""
            )
        if now - self._printed_at >= 0.125 or tally.finished >= tally.total:
            self._printed_at = now
            self._progress.update(self._task, total=tally.total, completed=tally.finished, **self._fields(now))

    def _say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _fields(self, now: float) -> dict[str, Any]:
        tally = self._tally
        rate = tally.session_done / max(1e-6, now - self._started)
        troubles = [f"{tally.failed} failed"] if tally.failed else []
        if tally.pauses:  # which and why was printed on its own line: here it must leave room for the bar
            troubles.append(f"{len(tally.pauses)} {'agent' if len(tally.pauses) == 1 else 'agents'} down")
        flight = f"{tally.in_flight} in flight"
        if tally.oldest_s >= 1:
            flight += f", oldest {duration(tally.oldest_s)}"
        if tally.model_ms:
            flight += f", model {tally.model_time}"
        return {"rate": rate, "reward": tally.mean_reward, "flight": flight, "trouble": ", ".join(troubles)}


class JsonProgress:
    """Events as JSON lines, what a job prints: results of a tenth of a second are added up per agent.

    Args:
        write: takes the bytes of whole lines.
        clock: seconds.
    """

    def __init__(self, write: Callable[[bytes], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._sums: dict[str, events.Finished] = {}
        self._since = clock()

    def on_event(self, event: events.Event) -> None:
        """Take one event; all but results go out at once, after the results before them."""
        if isinstance(event, events.Finished):
            old = self._sums.get(event.agent)
            if old:
                event = old.plus(event)
            self._sums[event.agent] = event
            if self._clock() - self._since >= _COALESCE_S:
                self.flush()
            return
        self.flush()
        self._write(events.encode(event) + b"\n")

    def flush(self) -> None:
        """Write the sums held back."""
        if self._sums:
            self._write(b"".join(events.encode(event) + b"\n" for event in self._sums.values()))
            self._sums.clear()
        self._since = self._clock()


def replay(lines: Iterable[bytes | str], on_event: events.OnEvent) -> events.Ended | events.Crashed | None:
    """Turn a job's output back into events; returns how it ended, or None when the output just stopped.

    A line that is not an event (a library's warning) becomes a ``RunNote``.
    """
    end: events.Ended | events.Crashed | None = None
    for line in lines:
        text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
        if not text.strip():
            continue
        event = events.decode(text)
        if isinstance(event, events.Ended | events.Crashed):
            end = event
        else:
            on_event(event or events.RunNote(text.rstrip()))
    return end
