"""What a collection counts for Prometheus.

Only a run on a stack with ``observe: true`` has it. Labels are agents, classes of failures, hops and tools' servers.
"""

from __future__ import annotations

import shutil
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from gymctl.config.rows.row_routes import DEFAULT_ROUTE
from gymctl.rollouts import events
from gymctl.rollouts.spec import RunSpec
from gymctl.server.metric_series import (
    CounterSeries,
    HistogramFamily,
    HistogramSeries,
    MetricFamily,
    counters,
    histograms,
)
from gymctl.server.monitoring import import_prometheus

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_REWARDS = (-1.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_HOPS = ("total", "seed", "model", "tool", "verify")
_MOST_GROUPS = 50_000
# As a status of the Responses API; quotes inside of a text are escaped, so no text of a model contains it.
_INCOMPLETE = (b'"status":"incomplete"', b'"status": "incomplete"')


@dataclass
class _Group:
    """The repeats of a task that have finished so far."""

    count: int
    reward: float
    is_uniform: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class _Series:
    """The series that a result of one agent is counted in."""

    repeats: int
    """Results of each task."""
    done: CounterSeries
    reward: HistogramSeries
    positive: CounterSeries
    negative: CounterSeries
    squares: CounterSeries
    wait: HistogramSeries
    total: HistogramSeries
    hops: Mapping[str, HistogramSeries]


class RunMonitor:
    """The metrics of one run.

    Raises:
        InputError: ``prometheus_client`` is not installed.
    """

    def __init__(self, run: RunSpec) -> None:
        client = import_prometheus()
        registry = client.CollectorRegistry()
        self.registry = registry
        self._run = run
        self._by_agent: dict[str, _Series] = {}
        self._groups: OrderedDict[tuple[str, int], _Group] = OrderedDict()
        self._complete: Counter[str] = Counter()
        self._uniform: Counter[str] = Counter()
        agent = ("agent",)

        def counter(name: str, text: str, labels: tuple[str, ...] = agent) -> MetricFamily[CounterSeries]:
            """Counters of this run."""
            return counters(f"gymctl_{name}", text, labels, registry)

        def histogram(name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> HistogramFamily:
            """Histograms of this run."""
            return histograms(f"gymctl_{name}", text, labels, registry, buckets)

        def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Any:
            """A gauge of this run."""
            return client.Gauge(f"gymctl_{name}", text, labels, registry=registry)

        self._rollouts = counter("rollouts_total", "Rollouts that ended, by outcome.", ("agent", "outcome"))
        self._failures = counter("rollout_failures_total", "Attempts that failed, by class.", ("agent", "class"))
        self._retries = counter("retries_total", "Immediate retries.")
        self._truncated = counter("truncated_total", "Results whose response is incomplete.")
        self._uncalled = counter("model_never_called_total", "Results without any call to the model.")
        self._tool_errors = counter("tool_errors_total", "Tool calls that failed.")
        # two counters, since a sum of rewards of both signs could fall
        self._sums = counter("reward_sums_total", "Sum of the rewards' absolute values, by sign.", ("agent", "sign"))
        self._squares = counter("reward_squares_total", "Sum of the squared rewards.")
        self._reward = histogram("reward", "Rewards.", agent, _REWARDS)
        self._durations = histogram("rollout_duration_seconds", "Time of rollouts by hop.", ("agent", "hop"), _SECONDS)
        self._waits = histogram("queue_wait_seconds", "Time that rollouts wait before their call.", agent, _SECONDS)
        self._ratio = gauge("group_zero_variance_ratio", "Share of groups whose rewards are all equal.", agent)
        self._in_flight = gauge("rollouts_in_flight", "Rollouts that are being collected.")
        self._oldest = gauge("oldest_rollout_seconds", "Age of the oldest rollout in flight.")
        self._expected = gauge("rollouts_expected", "Rollouts in the run.")
        disk = gauge("output_disk_free_ratio", "Fraction of the output's disk that is free.")
        disk.set_function(self._free_disk)

    def begin(self, agents: Iterable[str], total: int) -> None:
        """Make the series of every agent: one that exists can be watched before the first event."""
        self._expected.set(total)
        for name in agents:
            for outcome in ("done", "failed"):
                self._rollouts.labels(name, outcome)
            for sign in ("positive", "negative"):
                self._sums.labels(name, sign)
            for counted in (self._retries, self._truncated, self._uncalled, self._tool_errors):
                counted.labels(name)
            self._ratio.labels(name)

    def finished(
        self, agent: str, task: int, reward: float, seconds: tuple[float, float], hops: Mapping[str, float], body: bytes
    ) -> None:
        """Count a result; ``seconds`` are those before the call and of the call, ``hops`` are in milliseconds."""
        series = self._by_agent.get(agent)
        if series is None:
            series = self._by_agent[agent] = self._series(agent)
        series.done.value += 1.0
        series.reward.observe(reward)
        if reward >= 0:
            series.positive.value += reward
        else:
            series.negative.value -= reward
        series.squares.value += reward * reward
        series.wait.observe(seconds[0])
        series.total.observe(seconds[1])
        for hop, ms in hops.items():
            durations = series.hops.get(hop)
            if durations is not None:
                durations.observe(ms / 1000)
        if hops and "model" not in hops:
            self._uncalled.labels(agent).inc()
        if _is_truncated(body):
            self._truncated.labels(agent).inc()
        if series.repeats > 1:
            self._count_group(agent, task, reward, series.repeats)

    def _series(self, agent: str) -> _Series:
        """The series of an agent's results, found once: looking one up by its labels costs as much as counting."""
        return _Series(
            repeats=_repeats_of(self._run, agent),
            done=self._rollouts.labels(agent, "done"),
            reward=self._reward.labels(agent),
            positive=self._sums.labels(agent, "positive"),
            negative=self._sums.labels(agent, "negative"),
            squares=self._squares.labels(agent),
            wait=self._waits.labels(agent),
            total=self._durations.labels(agent, "total"),
            hops={hop: self._durations.labels(agent, hop) for hop in _HOPS},
        )

    def tools_failed(self, agent: str, count: int) -> None:
        """Count failed calls of tools."""
        if count:
            self._tool_errors.labels(agent).inc(count)

    def on_event(self, event: events.Event) -> None:
        """Count an event of the run; results are counted by ``finished``."""
        if isinstance(event, events.Finished):
            return
        if isinstance(event, events.Failed):
            self._failures.labels(event.agent, event.failure_class).inc()
            if event.final:
                self._rollouts.labels(event.agent, "failed").inc()
        elif isinstance(event, events.Retrying):
            self._retries.labels(event.agent).inc()
        elif isinstance(event, events.Tick):
            self._in_flight.set(event.in_flight)
            self._oldest.set(event.oldest_s)
            for family in (self._reward, self._durations, self._waits):
                family.settle()

    def _count_group(self, agent: str, task: int, reward: float, repeats: int) -> None:
        group = self._groups.get((agent, task))
        if group is None:
            group = self._groups[agent, task] = _Group(0, reward)
            if len(self._groups) > _MOST_GROUPS:
                self._groups.popitem(last=False)
        group.count += 1
        if group.reward != reward:
            group.is_uniform = False
        if group.count >= repeats:
            del self._groups[agent, task]
            self._complete[agent] += 1
            self._uniform[agent] += group.is_uniform
            self._ratio.labels(agent).set(self._uniform[agent] / self._complete[agent])

    def _free_disk(self) -> float:
        usage = shutil.disk_usage(self._run.output.parent)
        return usage.free / usage.total


def _is_truncated(body: bytes) -> bool:
    """Whether a response in a result is incomplete; most results are searched once."""
    return b'"incomplete"' in body and any(status in body for status in _INCOMPLETE)


def _repeats_of(run: RunSpec, agent: str) -> int:
    if isinstance(run.num_repeats, int):
        return run.num_repeats
    return run.num_repeats.get(agent, run.num_repeats.get(DEFAULT_ROUTE, 1))


@contextmanager
def monitored(run: RunSpec, emit: events.OnEvent) -> Iterator[RunMonitor | None]:
    """The monitor of a run, which answers on ``run.metrics``; None when that is empty.

    If the port is in use, a note is added and the run is not monitored.

    Raises:
        InputError: ``prometheus_client`` is not installed.
    """
    if not run.metrics:
        yield None
        return
    from gymctl.rollouts.metrics_page import serving

    monitor = RunMonitor(run)
    with ExitStack() as stack:
        try:
            stack.enter_context(serving(run.metrics, run.metrics_token, monitor.registry))
        except OSError as error:
            emit(events.RunNote(f"metrics are not served on {run.metrics}: {error.strerror}"))
            yield None
            return
        yield monitor
