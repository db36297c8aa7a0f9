"""Counters and histograms of one process, kept as plain numbers until ``/metrics`` is asked for.

``prometheus_client`` takes a lock for every number that it adds to, since any thread may count. Here only the event
loop's thread counts, and any thread may read. ``/metrics`` looks the same with both.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from operator import add
from threading import Lock
from typing import Any, Generic, NamedTuple, Protocol, TypeVar


class Sample(NamedTuple):
    """One line of the page."""

    suffix: str
    """What its name has after the family's."""
    value: float
    bound: float | None = None
    """The label ``le``, of a bucket."""


class _Series(Protocol):
    """What is counted for one combination of labels."""

    def samples(self) -> Iterator[Sample]:
        """The lines that show it."""
        ...


Series = TypeVar("Series", bound=_Series)


class CounterSeries:
    """A sum of amounts that are not negative."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add an amount."""
        self.value += amount

    def samples(self) -> Iterator[Sample]:
        """The sum."""
        yield Sample("_total", self.value)


class HistogramSeries:
    """How many of the observed values are at most each bound, and their sum.

    An observed value is only kept. ``settle`` counts those kept so far, which takes less time for many at once; who
    observes must call it from time to time.

    Args:
        bounds: the smallest one first.
    """

    __slots__ = ("_bounds", "_counts", "_lock", "_sum", "_total", "_values", "observe")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._values: list[float] = []
        self.observe = self._values.append
        """Count a value."""
        self._counts = [0] * len(bounds)
        self._total = 0
        self._sum = 0.0
        self._lock = Lock()  # the thread that observes settles, and so does one that reads

    def settle(self) -> None:
        """Count the values that were observed since the last time."""
        with self._lock:
            number = len(self._values)
            if number == 0:
                return
            values = self._values[:number]
            del self._values[:number]
            self._total += number
            self._sum = reduce(add, values, self._sum)
            values.sort()
            for place, bound in enumerate(self._bounds):
                self._counts[place] += bisect_right(values, bound)

    def samples(self) -> Iterator[Sample]:
        """One for each bound, the number and the sum; no sum if negative values could make it fall."""
        self.settle()
        with self._lock:
            counts = self._counts.copy()
            total = self._total
            sum_of_values = self._sum
        for bound, count in zip(self._bounds, counts, strict=True):
            yield Sample("_bucket", count, bound)
        yield Sample("_bucket", total, math.inf)
        yield Sample("_count", total)
        if self._bounds[0] >= 0:
            yield Sample("_sum", sum_of_values)


class MetricFamily(Generic[Series]):
    """The series of one name.

    Args:
        kind: as ``prometheus_client`` names it.
        name: without the suffix of a counter.
        description: what it is, in a sentence.
        labels: their names.
        make: makes a series.
    """

    def __init__(
        self, kind: str, name: str, description: str, labels: Sequence[str], make: Callable[[], Series]
    ) -> None:
        self._kind = kind
        self._name = name
        self._description = description
        self._label_names = tuple(labels)
        self._make = make
        self._series: dict[tuple[str, ...], Series] = {}

    def labels(self, *values: str) -> Series:
        """The series with these values of the labels; finding it takes longer than counting does."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = self._make()
        return series

    def describe(self) -> list[Any]:
        """The family without series, from which a registry of ``prometheus_client`` knows the names in it."""
        return [self._empty()]

    def collect(self) -> Iterator[Any]:
        """The family with its series, when the page is asked for."""
        from prometheus_client.utils import floatToGoString

        family = self._empty()
        for values, series in self._series.copy().items():  # copied in one step: another thread may add one
            labels = dict(zip(self._label_names, values, strict=True))
            for sample in series.samples():
                own = labels
                if sample.bound is not None:
                    own = {**labels, "le": floatToGoString(sample.bound)}  # type: ignore[no-untyped-call]
                family.add_sample(f"{self._name}{sample.suffix}", own, sample.value)
        yield family

    def _empty(self) -> Any:
        from prometheus_client import Metric

        return Metric(self._name, self._description, self._kind)


class HistogramFamily(MetricFamily[HistogramSeries]):
    """Histograms of one name, with the same bounds."""

    def settle(self) -> None:
        """Count what was observed since the last time; until then, every value takes memory."""
        for series in self._series.copy().values():
            series.settle()


def counters(name: str, description: str, labels: Sequence[str], registry: Any) -> MetricFamily[CounterSeries]:
    """A family of counters in a registry; ``name`` ends with ``_total``."""
    family = MetricFamily("counter", name.removesuffix("_total"), description, labels, CounterSeries)
    registry.register(family)
    return family


def histograms(
    name: str, description: str, labels: Sequence[str], registry: Any, buckets: Sequence[float]
) -> HistogramFamily:
    """A family of histograms in a registry, with the bounds ``buckets``."""
    family = HistogramFamily("histogram", name, description, labels, partial(HistogramSeries, tuple(buckets)))
    registry.register(family)
    return family
