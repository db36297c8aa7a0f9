"""What a server counts for Prometheus, and the page that it answers ``/metrics`` with.

Only a stack with ``observe: true`` has it: without, ``prometheus_client`` is not imported and nothing is counted.
Labels are bounded: names of servers, kinds, statuses, classes of failures. No task, rollout or text of a model is one.
"""

from __future__ import annotations

import asyncio
import atexit
import hmac
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gymctl.errors import InputError
from gymctl.server.message import Call, Reply, json_reply
from gymctl.server.metric_series import HistogramFamily, counters, histograms

METRICS_PATH = "/metrics"
UNCOUNTED = frozenset(("/", METRICS_PATH))
"""Paths whose requests are not counted: health checks."""
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
IN_FLIGHT = "gymctl_requests_in_flight"
IN_FLIGHT_TEXT = "Requests that are being answered."
_LAG_EVERY_S = 0.5
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_TOKENS = (("input", "input_tokens", "prompt_tokens"), ("output", "output_tokens", "completion_tokens"))


@dataclass(frozen=True)
class Gauge:
    """A value that is read when the page is asked for."""

    name: str
    description: str
    labels: Mapping[str, str]
    value: float


class SeriesByLabel(dict[Any, Any]):
    """Series by the label in which they differ; each is made when it is needed first.

    Args:
        make: makes the one with a value of the label.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, value: Any) -> Any:
        """Make a series, and keep it."""
        series = self[value] = self._make(value)
        return series


def metrics_token(observe: Any) -> str:
    """The token in the value of ``observe``; empty: everyone may read metrics."""
    if isinstance(observe, Mapping):
        return str(observe.get("token") or "")
    return ""


def is_admitted(token: str, authorization: str | None) -> bool:
    """Whether a request may read metrics: its header ``Authorization`` has the token, or the token is empty."""
    expected = f"Bearer {token}".encode()
    return not token or hmac.compare_digest((authorization or "").encode("utf-8", "replace"), expected)


def import_prometheus() -> Any:
    """The package ``prometheus_client``.

    Raises:
        InputError: it is not installed.
    """
    try:
        import prometheus_client
    except ImportError as error:
        raise InputError("`observe` needs prometheus-client", "install it: pip install 'gymctl[observe]'") from error
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    return prometheus_client


def prepare_processes(workers: int) -> None:
    """Have the worker processes of one server share what they count; call it before ``import_prometheus``."""
    if workers > 1 and MULTIPROCESS_VARIABLE not in os.environ:
        folder = tempfile.mkdtemp(prefix="gymctl-metrics-")
        os.environ[MULTIPROCESS_VARIABLE] = folder
        atexit.register(_remove_folder, folder, os.getpid())


def _remove_folder(folder: str, owner: int) -> None:
    """Remove what the processes of a server shared, when the one that started them ends."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def forget_process(pid: int) -> None:
    """Leave a worker process that has ended out of the values that are true of running ones."""
    if MULTIPROCESS_VARIABLE in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]


class ServerMonitor:
    """The metrics of one server.

    Args:
        server: its name.
        kind: its kind, such as ``resources_servers``.
        gauges: reads further values when the page is asked for.
        is_shared: whether several processes are the server together.

    Raises:
        InputError: ``prometheus_client`` is not installed.
    """

    def __init__(
        self, server: str, kind: str, gauges: Callable[[], Iterator[Gauge]], *, is_shared: bool = False
    ) -> None:
        from gymctl import __version__

        client = import_prometheus()
        self._client = client
        self._registry = client.CollectorRegistry()
        self._gauges = gauges
        labels = {"server": server, "kind": kind}
        names = tuple(labels)
        values = tuple(labels.values())
        self._settled: list[HistogramFamily] = []
        self._sums_processes = MULTIPROCESS_VARIABLE in os.environ
        durations = self._histograms(
            "gymctl_http_request_duration_seconds", "Duration of requests, by status.", (*names, "code"), _SECONDS
        )
        self.durations = SeriesByLabel(lambda status: durations.labels(*values, str(status)))
        """Histograms of the seconds that requests took, by status."""
        self.is_shared = is_shared
        """Whether several processes are the server together."""
        if is_shared:  # of one process it is among the gauges, which cost a request nothing
            self._in_flight = client.Gauge(
                IN_FLIGHT, IN_FLIGHT_TEXT, names, registry=self._registry, multiprocess_mode="livesum"
            ).labels(*values)
        self._failures = self._counters(
            "gymctl_call_failures_total", "Requests that failed because a call to another server or endpoint did.",
            (*names, "class"),
        )  # fmt: skip
        tokens = self._counters(
            "gymctl_tokens_total", "Tokens of a model's answers, by direction.", ("server", "direction")
        )
        self._tokens = SeriesByLabel(lambda direction: tokens.labels(server, direction))
        self._lag = self._histograms(
            "gymctl_event_loop_lag_seconds", "Lag of the event loop.", ("server",), _LAG_SECONDS
        ).labels(server)
        build = client.Gauge(
            "gymctl_build_info", "Version of gymctl.", (*names, "version"),
            registry=self._registry, multiprocess_mode="livemax",
        )  # fmt: skip
        build.labels(*values, __version__).set(1)
        self._labels = labels
        self.is_watching = False
        """Whether the lag of the event loop is measured."""
        self._start_time = time.time()  # workers are forked later, so theirs is the same
        if not self._sums_processes:
            client.ProcessCollector(registry=self._registry)
        self._registry.register(_Gauges(self, client))
        self.call_failed("session_lost", 0)  # a series that exists can be watched before its first failure

    def _counters(self, name: str, description: str, labels: tuple[str, ...]) -> Any:
        """Counters of this process, or of all that are the server together."""
        if self._sums_processes:
            return self._client.Counter(name, description, labels, registry=self._registry)
        return counters(name, description, labels, self._registry)

    def _histograms(self, name: str, description: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Any:
        """Histograms, as ``_counters``."""
        if self._sums_processes:
            return self._client.Histogram(name, description, labels, registry=self._registry, buckets=buckets)
        family = histograms(name, description, labels, self._registry, buckets)
        self._settled.append(family)
        return family

    async def in_progress(self, handling: Awaitable[Reply]) -> Reply:
        """Await the reply of a request, which is in flight in one of several processes until then."""
        with self._in_flight.track_inprogress():
            return await handling

    def call_failed(self, failure_class: str, count: int = 1) -> None:
        """Count a request that failed because of a call."""
        self._failures.labels(*self._labels.values(), failure_class).inc(count)

    def answered(self, answer: Mapping[str, Any]) -> None:
        """Count the tokens of a model's answer."""
        usage = answer.get("usage")
        if not isinstance(usage, dict):
            return
        for direction, name, other_name in _TOKENS:
            count = usage.get(name)
            if type(count) is not int:
                count = usage.get(other_name)
            if type(count) is int and count > 0:
                self._tokens[direction].inc(count)

    def reply(self, call: Call, token: str) -> Reply:
        """The page, for callers who send the token."""
        if not is_admitted(token, call.header("authorization")):
            return json_reply({"detail": f"{METRICS_PATH} requires the token of `observe`"}, 401)
        body, media_type = self.page()
        return Reply(200, body, media_type=media_type)

    def page(self) -> tuple[bytes, str]:
        """The metrics as text, and its media type."""
        registry = self._registry
        if self._sums_processes:
            from prometheus_client.multiprocess import MultiProcessCollector

            registry = self._client.CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            registry.register(_Gauges(self, self._client))
        return self._client.generate_latest(registry), self._client.CONTENT_TYPE_LATEST

    def read_gauges(self) -> Iterator[Gauge]:
        """The values that are read when the page is asked for."""
        text = "When the server started, in seconds since 1970."
        yield Gauge("gymctl_start_time_seconds", text, self._labels, self._start_time)
        yield from self._gauges()

    def watch_loop(self) -> None:
        """Measure from now on how late the running event loop calls back."""
        self.is_watching = True
        loop = asyncio.get_running_loop()

        def look(due: float) -> None:
            """Observe how much later than ``due`` it is, and count what was observed since the last time."""
            self._lag.observe(max(0.0, loop.time() - due))
            for family in self._settled:
                family.settle()
            loop.call_later(_LAG_EVERY_S, look, loop.time() + _LAG_EVERY_S)

        loop.call_later(_LAG_EVERY_S, look, loop.time() + _LAG_EVERY_S)


class _Gauges:
    """A collector of the values that are read when the page is asked for."""

    def __init__(self, monitor: ServerMonitor, client: Any) -> None:
        self._monitor = monitor
        self._client = client

    def describe(self) -> list[Any]:
        """Nothing: the values are not known yet."""
        return []

    def collect(self) -> Iterator[Any]:
        """One family for each name."""
        from prometheus_client.core import GaugeMetricFamily

        families: dict[str, Any] = {}
        for gauge in self._monitor.read_gauges():
            family = families.get(gauge.name)
            if family is None:
                family = GaugeMetricFamily(gauge.name, gauge.description, labels=list(gauge.labels))
                families[gauge.name] = family
            family.add_metric(list(gauge.labels.values()), gauge.value)
        yield from families.values()
