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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gymctl.errors import InputError

METRICS_PATH = "/metrics"
_UNCOUNTED = ("/", METRICS_PATH)
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
IN_FLIGHT = "gymctl_requests_in_flight"
IN_FLIGHT_TEXT = "Requests that are being answered."
_LAG_EVERY_S = 0.5
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_TOKENS = (("input", ("input_tokens", "prompt_tokens")), ("output", ("output_tokens", "completion_tokens")))


@dataclass(frozen=True)
class Gauge:
    """A value that is read when the page is asked for."""

    name: str
    description: str
    labels: Mapping[str, str]
    value: float


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
        self._durations = client.Histogram(
            "gymctl_http_request_duration_seconds", "Duration of requests, by status.", (*names, "code"),
            registry=self._registry, buckets=_SECONDS,
        )  # fmt: skip
        self._in_flight: Any = None  # of one process it is among the gauges, which cost a request nothing
        if is_shared:
            self._in_flight = client.Gauge(
                IN_FLIGHT, IN_FLIGHT_TEXT, names, registry=self._registry, multiprocess_mode="livesum"
            ).labels(*values)
        self._failures = client.Counter(
            "gymctl_call_failures_total", "Requests that failed because a call to another server or endpoint did.",
            (*names, "class"), registry=self._registry,
        )  # fmt: skip
        self._tokens = client.Counter(
            "gymctl_tokens_total", "Tokens of a model's answers, by direction.", ("server", "direction"),
            registry=self._registry,
        )  # fmt: skip
        self._lag = client.Histogram(
            "gymctl_event_loop_lag_seconds", "Lag of the event loop.", ("server",),
            registry=self._registry, buckets=_LAG_SECONDS,
        ).labels(server)  # fmt: skip
        build = client.Gauge(
            "gymctl_build_info", "Version of gymctl.", (*names, "version"),
            registry=self._registry, multiprocess_mode="livemax",
        )  # fmt: skip
        build.labels(*values, __version__).set(1)
        self._labels = labels
        self._by_code: dict[int, Any] = {}
        self._by_direction: dict[str, Any] = {}
        self._is_watching = False
        self._start_time = time.time()  # workers are forked later, so theirs is the same
        if MULTIPROCESS_VARIABLE not in os.environ:
            client.ProcessCollector(registry=self._registry)
        self._registry.register(_Gauges(self, client))
        self.call_failed("session_lost", 0)  # a series that exists can be watched before its first failure

    async def measured(self, path: str, handling: Any) -> Any:
        """Await the reply of a request and count it; health checks are not counted."""
        if path in _UNCOUNTED:
            return await handling
        if not self._is_watching:
            self._watch_loop()
        started = time.perf_counter()
        if self._in_flight is None:
            reply = await handling
        else:
            with self._in_flight.track_inprogress():
                reply = await handling
        durations = self._by_code.get(reply.status)
        if durations is None:
            durations = self._durations.labels(*self._labels.values(), str(reply.status))
            self._by_code[reply.status] = durations
        durations.observe(time.perf_counter() - started)
        return reply

    def call_failed(self, failure_class: str, count: int = 1) -> None:
        """Count a request that failed because of a call."""
        self._failures.labels(*self._labels.values(), failure_class).inc(count)

    def answered(self, answer: Mapping[str, Any]) -> None:
        """Count the tokens of a model's answer."""
        usage = answer.get("usage")
        if not isinstance(usage, dict):
            return
        for direction, names in _TOKENS:
            count = next((usage[name] for name in names if type(usage.get(name)) is int), 0)
            if count <= 0:
                continue
            counter = self._by_direction.get(direction)
            if counter is None:
                counter = self._by_direction[direction] = self._tokens.labels(self._labels["server"], direction)
            counter.inc(count)

    def page(self) -> tuple[bytes, str]:
        """The metrics as text, and its media type."""
        registry = self._registry
        if MULTIPROCESS_VARIABLE in os.environ:
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

    def _watch_loop(self) -> None:
        """Measure from now on how late the running event loop calls back."""
        self._is_watching = True
        loop = asyncio.get_running_loop()

        def look(due: float) -> None:
            """Observe how much later than ``due`` it is."""
            self._lag.observe(max(0.0, loop.time() - due))
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
