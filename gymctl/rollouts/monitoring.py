"""What a collection counts for Prometheus, and the port that it answers ``/metrics`` on.

Only a run on a stack with ``observe: true`` has it. Labels are agents, classes of failures, hops and tools' servers.
"""

from __future__ import annotations

import shutil
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gymctl.config.rows.row_routes import DEFAULT_ROUTE
from gymctl.rollouts import events
from gymctl.rollouts.spec import RunSpec
from gymctl.server.monitoring import import_prometheus, is_admitted

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

    done: Any
    reward: Any
    positive: Any
    negative: Any
    squares: Any
    wait: Any
    hops: Mapping[str, Any]


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

        def counter(name: str, text: str, labels: tuple[str, ...] = agent) -> Any:
            """A counter of this run."""
            return client.Counter(f"gymctl_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Any:
            """A histogram of this run."""
            return client.Histogram(f"gymctl_{name}", text, labels, registry=registry, buckets=buckets)

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
            for series in (self._retries, self._truncated, self._uncalled, self._tool_errors, self._ratio):
                series.labels(name)

    def finished(
        self, agent: str, task: int, reward: float, seconds: tuple[float, float], hops: Mapping[str, float], body: bytes
    ) -> None:
        """Count a result; ``seconds`` are those before the call and of the call, ``hops`` are in milliseconds."""
        series = self._by_agent.get(agent)
        if series is None:
            series = self._by_agent[agent] = self._series(agent)
        series.done.inc()
        series.reward.observe(reward)
        if reward >= 0:
            series.positive.inc(reward)
        else:
            series.negative.inc(-reward)
        series.squares.inc(reward * reward)
        series.wait.observe(seconds[0])
        series.hops["total"].observe(seconds[1])
        for hop, ms in hops.items():
            durations = series.hops.get(hop)
            if durations is not None:
                durations.observe(ms / 1000)
        if hops and "model" not in hops:
            self._uncalled.labels(agent).inc()
        if _is_truncated(body):
            self._truncated.labels(agent).inc()
        self._count_group(agent, task, reward)

    def _series(self, agent: str) -> _Series:
        """The series of an agent's results, found once: looking one up by its labels costs as much as counting."""
        return _Series(
            done=self._rollouts.labels(agent, "done"),
            reward=self._reward.labels(agent),
            positive=self._sums.labels(agent, "positive"),
            negative=self._sums.labels(agent, "negative"),
            squares=self._squares.labels(agent),
            wait=self._waits.labels(agent),
            hops={hop: self._durations.labels(agent, hop) for hop in _HOPS},
        )

    def tools_failed(self, agent: str, count: int) -> None:
        """Count failed calls of tools."""
        if count:
            self._tool_errors.labels(agent).inc(count)

    def on_event(self, event: events.Event) -> None:
        """Count an event of the run; results are counted by ``finished``."""
        if isinstance(event, events.Failed):
            self._failures.labels(event.agent, event.failure_class).inc()
            if event.final:
                self._rollouts.labels(event.agent, "failed").inc()
        elif isinstance(event, events.Retrying):
            self._retries.labels(event.agent).inc()
        elif isinstance(event, events.Tick):
            self._in_flight.set(event.in_flight)
            self._oldest.set(event.oldest_s)

    def _count_group(self, agent: str, task: int, reward: float) -> None:
        repeats = _repeats_of(self._run, agent)
        if repeats < 2:
            return
        group = self._groups.setdefault((agent, task), _Group(0, reward))
        group.count += 1
        group.is_uniform = group.is_uniform and group.reward == reward
        if group.count >= repeats:
            del self._groups[agent, task]
            self._complete[agent] += 1
            self._uniform[agent] += group.is_uniform
            self._ratio.labels(agent).set(self._uniform[agent] / self._complete[agent])
        elif len(self._groups) > _MOST_GROUPS:
            self._groups.popitem(last=False)

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


def _with_token(application: Any, token: str) -> Any:
    """A WSGI application that answers only those who send the token; an empty one: everyone."""

    def answer(request: dict[str, Any], start_response: Any) -> Any:
        """The application's answer, or 401."""
        if is_admitted(token, request.get("HTTP_AUTHORIZATION")):
            return application(request, start_response)
        start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Length", "0")])
        return []

    return answer


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
    monitor = RunMonitor(run)
    host, _, port = run.metrics.rpartition(":")
    try:
        server, thread = import_prometheus().start_http_server(int(port), host, monitor.registry)
        server.set_app(_with_token(server.get_app(), run.metrics_token))
    except OSError as error:
        emit(events.RunNote(f"metrics are not served on {run.metrics}: {error.strerror}"))
        yield None
        return
    try:
        yield monitor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
