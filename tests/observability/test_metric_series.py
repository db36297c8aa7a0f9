"""Series of our own: the page shows them exactly as it shows those of ``prometheus_client``."""

from __future__ import annotations

import asyncio
import math
import re
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.rollouts import events
from gymctl.rollouts import monitoring as run_monitoring
from gymctl.rollouts.spec import RunSpec
from gymctl.server import monitoring as server_monitoring
from gymctl.server.metric_series import counters, histograms
from gymctl.server.monitoring import import_prometheus

client = import_prometheus()
BOUNDS = (0.1, 0.25, 1.0, 60.0)
REWARD_BOUNDS = (-1.0, 0.0, 0.5, 1.0)
AMOUNTS = st.one_of(st.sampled_from((*BOUNDS, *REWARD_BOUNDS, 0.0, math.inf)), st.floats(-100, 100))
SERIES = st.tuples(st.text(max_size=6), st.sampled_from(("200", "504")))
VARYING = re.compile(rb"^(process_|gymctl_start_time_seconds\{|gymctl_output_disk_free_ratio ).*\n", re.MULTILINE)


def pages(registry: Any) -> list[bytes]:
    """What the registry shows, in Prometheus' format and as OpenMetrics, which a scraper may ask for."""
    from prometheus_client.openmetrics.exposition import generate_latest

    return [client.generate_latest(registry), generate_latest(registry)]  # type: ignore[no-untyped-call]


@given(st.lists(st.tuples(SERIES, AMOUNTS, st.booleans())))
def test_any_traffic_is_shown_as_prometheus_client_shows_it(traffic: list[tuple[tuple[str, str], float, bool]]) -> None:
    names = ("server", "code")
    own, other = client.CollectorRegistry(), client.CollectorRegistry()
    for bounds, name in ((BOUNDS, "gymctl_seconds"), (REWARD_BOUNDS, "gymctl_reward")):
        ours = histograms(name, 'With "quotes"\nand \\.', names, own, bounds)
        theirs = client.Histogram(name, 'With "quotes"\nand \\.', names, registry=other, buckets=bounds)
        for labels, amount, is_settled in traffic:
            ours.labels(*labels).observe(amount)
            theirs.labels(*labels).observe(amount)
            if is_settled:
                ours.settle()
    our_counter = counters("gymctl_calls_total", "Calls.", names, own)
    their_counter = client.Counter("gymctl_calls_total", "Calls.", names, registry=other)
    for labels, amount, _ in traffic:
        our_counter.labels(*labels).inc(abs(amount))
        their_counter.labels(*labels).inc(abs(amount))
    assert pages(own) == pages(other)


def test_a_name_is_used_once() -> None:
    registry = client.CollectorRegistry()
    counters("gymctl_calls_total", "Calls.", ("server",), registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        counters("gymctl_calls_total", "Calls.", ("server",), registry)


def test_a_scraper_may_ask_for_one_name() -> None:
    registry = client.CollectorRegistry()
    counters("gymctl_calls_total", "Calls.", ("server",), registry).labels("a").inc()
    histograms("gymctl_seconds", "Time.", ("server",), registry, BOUNDS).labels("a").observe(0.2)
    page = client.generate_latest(registry.restricted_registry(["gymctl_seconds_count"])).decode()
    assert 'gymctl_seconds_count{server="a"} 1.0' in page
    assert "gymctl_calls_total" not in page and "_bucket" not in page


def test_the_page_is_read_while_series_are_added() -> None:
    registry = client.CollectorRegistry()
    calls = counters("gymctl_calls_total", "Calls.", ("server",), registry)
    seconds = histograms("gymctl_seconds", "Time.", ("server",), registry, BOUNDS)
    is_over = threading.Event()
    problems: list[Exception] = []
    most = 0

    def read() -> None:
        nonlocal most
        try:
            while not is_over.is_set():
                most = max(most, client.generate_latest(registry).count(b"gymctl_seconds_count"))
        except RuntimeError as error:  # a mapping that changed while it was read
            problems.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    number = 0
    while number < 3000 or (most == 0 and not problems):
        calls.labels(str(number)).inc()
        seconds.labels(str(number % 200)).observe(0.2)
        number += 1
    is_over.set()
    reader.join()
    assert problems == [] and most > 0


@pytest.fixture
def traced_memory() -> Iterator[Callable[[], int]]:
    """The bytes that were allocated since, and are still in use."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()


def test_a_run_keeps_no_values_after_a_tick(tmp_path: Path, traced_memory: Callable[[], int]) -> None:
    monitor = run_monitoring.RunMonitor(RunSpec(tmp_path / "rows.jsonl", tmp_path / "out.jsonl"))
    for number in range(20_000):
        monitor.finished("a", 0, number / 7, (number / 2, number / 3), {"model": number / 5}, b"{}")
    assert traced_memory() > 1_000_000
    monitor.on_event(events.Tick(1, 1, 1.0))
    assert traced_memory() < 500_000


def test_a_server_keeps_no_values_for_long(monkeypatch: pytest.MonkeyPatch, traced_memory: Callable[[], int]) -> None:
    monkeypatch.setattr(server_monitoring, "_LAG_EVERY_S", 0.01)
    monitor = server_monitoring.ServerMonitor("mine", "responses_api_models", lambda: iter(()))

    async def work() -> None:
        monitor.watch_loop()
        for number in range(50_000):
            monitor.durations[200].observe(number / 7)
        assert traced_memory() > 1_000_000
        async with asyncio.timeout(60):
            while traced_memory() > 500_000:
                await asyncio.sleep(0.01)

    asyncio.run(work())


class SettableCounter(client.Counter):  # type: ignore[misc, name-defined]
    """A counter of ``prometheus_client`` that is counted with as with ours."""

    value = property(lambda counter: counter._value.get(), lambda counter, value: counter._value.set(value))


class SettledHistogram(client.Histogram):  # type: ignore[misc, name-defined]
    """A histogram of ``prometheus_client`` that is used as ours."""

    def settle(self) -> None:
        """Nothing: every value was counted at once."""


def with_prometheus_client(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    """Have a module count with ``prometheus_client``."""

    def counted(name: str, description: str, labels: Sequence[str], registry: Any) -> Any:
        return SettableCounter(name, description, labels, registry=registry)

    def observed(name: str, description: str, labels: Sequence[str], registry: Any, buckets: Sequence[float]) -> Any:
        return SettledHistogram(name, description, labels, registry=registry, buckets=buckets)

    monkeypatch.setattr(module, "counters", counted)
    monkeypatch.setattr(module, "histograms", observed)


def page_of_a_server() -> bytes:
    """What a server shows after some requests, without what differs from one process to the next."""
    monitor = server_monitoring.ServerMonitor("mine", "responses_api_models", lambda: iter(()))
    for seconds, status in ((0.5, 200), (3.0, 504), (0.001, 200), (4000.0, 404)):
        monitor.durations[status].observe(seconds)
    for failure in ("timeout", "session_lost", "timeout"):
        monitor.call_failed(failure)
    monitor.answered({"usage": {"input_tokens": 5, "output_tokens": 2}})
    monitor.answered({"usage": {"prompt_tokens": 50, "completion_tokens": 0}})
    return VARYING.sub(b"", monitor.page()[0])


def test_the_page_of_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of_a_server()
    for line in (
        'gymctl_http_request_duration_seconds_count{code="200",kind="responses_api_models",server="mine"} 2.0',
        'gymctl_call_failures_total{class="timeout",kind="responses_api_models",server="mine"} 2.0',
        'gymctl_tokens_total{direction="input",server="mine"} 55.0',
        'gymctl_event_loop_lag_seconds_bucket{le="+Inf",server="mine"} 0.0',
    ):
        assert f"\n{line}\n".encode() in page
    with_prometheus_client(monkeypatch, server_monitoring)
    assert page == page_of_a_server()


def page_of_a_run(folder: Path) -> bytes:
    """What a collection shows after some results and failures."""
    run = RunSpec(folder / "rows.jsonl", folder / "out.jsonl", num_repeats=2)
    monitor = run_monitoring.RunMonitor(run)
    monitor.begin(["a", "b"], 40)
    for task, reward in enumerate((0.5, -2.0, 0.0, 1.0, 0.5, 7)):
        for repeat in range(2):
            hops = {"seed": 1.0, "model": 500.0 * task, "made_up": 3.0, "total": 1.0}
            monitor.finished("a", task, reward, (0.1 * repeat, 1.0 + task), hops, b'{"status": "incomplete"}')
    monitor.finished("c", 0, 1, (0.0, 10.0), {"seed": 1.0}, b"{}")
    monitor.tools_failed("a", 3)
    for event in (
        events.Failed("a", "timeout", final=False),
        events.Failed("b", "connect"),
        events.Retrying("a", "timeout", 1.0),
        events.Tick(7, 8, 9.5),
    ):
        monitor.on_event(event)
    return VARYING.sub(b"", b"".join(pages(monitor.registry)))


def test_the_page_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of_a_run(tmp_path)
    for line in (
        'gymctl_rollouts_total{agent="a",outcome="done"} 12.0',
        'gymctl_rollout_duration_seconds_count{agent="a",hop="model"} 12.0',
        'gymctl_reward_bucket{agent="a",le="0.5"} 8.0',
        'gymctl_truncated_total{agent="a"} 12.0',
        'gymctl_model_never_called_total{agent="c"} 1.0',
    ):
        assert f"\n{line}\n".encode() in page
    with_prometheus_client(monkeypatch, run_monitoring)
    assert page == page_of_a_run(tmp_path)
