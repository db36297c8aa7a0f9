"""Figures over the rows of a data set, as NeMo Gym's metrics files have them, in memory that does not grow with rows.

Running means follow Welford, in the order of the rows, so that the rounded figures are NeMo Gym's to the last digit.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from gymctl.datasets.create_params import ParamsFigures

_EXAMPLES = "Number of examples"
_TOOLS = "Number of tools"
_WORDS = "Json-dumped number of words (proxy for token count)"
_TURNS = "Number of turns"
_TEMPERATURE = "Temperature"
CORE_LABELS = (_EXAMPLES, _TOOLS, _WORDS, _TURNS, _TEMPERATURE)
_NOT_COLUMNS = frozenset(("responses_create_params", "response"))
_COUNTED = (str, int, float)
_LARGEST = int(sys.float_info.max)
_COMPACT_AT = 1 << 19


@dataclass(slots=True)
class NumberFigures:
    """Count, mean, extremes and sample standard deviation of numbers."""

    total: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared differences from the mean."""
    least: float = 0.0
    most: float = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Add a number, ``times`` times, as NeMo Gym adds a value of a column."""
        self._observe_extremes(value)
        for _ in range(times):
            self.total += 1
            delta = value - self.mean
            self.mean += delta / self.total
            self.squares += delta * (value - self.mean)

    def observe_sample(self, value: float, times: int = 1) -> None:
        """Add a number, ``times`` times, as NeMo Gym adds a figure of a whole row: other rounding in the last bit."""
        self._observe_extremes(value)
        for _ in range(times):
            before = self.total
            self.total += 1
            delta = value - self.mean
            self.mean += delta * (1 / self.total)
            self.squares += (delta * delta) * (before / self.total)

    def _observe_extremes(self, value: float) -> None:
        if not self.total or value < self.least:
            self.least = value
        if not self.total or value > self.most:
            self.most = value

    def merge(self, other: NumberFigures) -> None:
        """Add all numbers of ``other``."""
        if not other.total:
            return
        if not self.total:
            self.least = other.least
            self.most = other.most
            self.mean = other.mean
            self.squares = other.squares
            self.total = other.total
            return
        total = self.total + other.total
        delta = other.mean - self.mean
        self.mean += delta * (other.total / total)
        self.squares = self.squares + other.squares + (delta * delta) * (self.total * other.total / total)
        self.total = total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)

    def dump(self) -> dict[str, Any]:
        """The figures as a metrics file has them."""
        deviation = sqrt(self.squares / max(self.total - 1, 1))
        return {
            "Total # non-null values": self.total,
            "Average": _rounded(self.mean),
            "Min": _rounded_extreme(self.least),
            "Max": _rounded_extreme(self.most),
            "Standard deviation": _rounded(deviation),
        }


def _rounded(value: float) -> float:
    if -1 < value < 1:
        return round(value, 3)
    return round(value, 2)


def _rounded_extreme(value: float) -> float:
    """An extreme of whole numbers is not rounded: rounding would lose digits of a large one."""
    if isinstance(value, float):
        return _rounded(value)
    return float(value)


@dataclass(slots=True)
class TextFigures:
    """How many texts, and how many different ones: eight bytes of memory for each different one."""

    total: int = 0
    _digests: array[int] = field(default_factory=lambda: array("q"))
    _compact_at: int = _COMPACT_AT

    def observe(self, value: str, times: int = 1) -> None:
        """Add a text, ``times`` times."""
        self.total += times
        self._digests.append(hash(value))
        if len(self._digests) >= self._compact_at:
            self._compact()

    def merge(self, other: TextFigures) -> None:
        """Add all texts of ``other``."""
        self.total += other.total
        self._digests.extend(other._digests)
        self._compact()

    def _compact(self) -> None:
        self._digests = array("q", set(self._digests))
        self._compact_at = max(_COMPACT_AT, 2 * len(self._digests))

    def dump(self) -> dict[str, Any]:
        """The figures as a metrics file has them."""
        self._compact()
        return {"unique_count": len(self._digests), "total_count": self.total}


@dataclass(slots=True)
class ColumnFigures:
    """Figures of one column; one that holds numbers and texts has both kinds."""

    numbers: NumberFigures | None = None
    texts: TextFigures | None = None

    def observe(self, value: Any, times: int) -> None:
        """Add a value, or each item of a list; objects and nulls do not count, numbers beyond floats count as texts."""
        if not isinstance(value, list):
            self._observe_one(value, times)
            return
        for _ in range(times):
            for item in value:
                self._observe_one(item, 1)

    def _observe_one(self, value: Any, times: int) -> None:
        if isinstance(value, str) or (isinstance(value, int) and abs(value) > _LARGEST):
            self.texts = self.texts or TextFigures()
            self.texts.observe(str(value), times)
        elif isinstance(value, int | float):
            self.numbers = self.numbers or NumberFigures()
            self.numbers.observe(+value, times)  # + makes a whole number of true and false

    def merge(self, other: ColumnFigures) -> None:
        """Add the values of ``other``."""
        if other.numbers:
            self.numbers = self.numbers or NumberFigures()
            self.numbers.merge(other.numbers)
        if other.texts:
            self.texts = self.texts or TextFigures()
            self.texts.merge(other.texts)

    def dump(self) -> dict[str, Any]:
        """The figures as a metrics file has them."""
        figures: dict[str, Any] = {}
        if self.numbers:
            figures |= self.numbers.dump()
        if self.texts:
            figures |= self.texts.dump()
        return figures


def _counts(value: Any) -> bool:
    """Whether a value, or an item of a list, is a text or a number: columns are listed as they first have one."""
    if isinstance(value, list):
        return any(isinstance(item, _COUNTED) for item in value)
    return isinstance(value, _COUNTED)


@dataclass(slots=True)
class RowMetrics:
    """Figures of a data set, or of all data sets of a type."""

    examples: int = 0
    tools: NumberFigures = field(default_factory=NumberFigures)
    words: NumberFigures = field(default_factory=NumberFigures)
    turns: NumberFigures = field(default_factory=NumberFigures)
    temperature: NumberFigures = field(default_factory=NumberFigures)
    columns: dict[str, ColumnFigures] = field(default_factory=dict)

    def observe(self, row: Mapping[str, Any], params: ParamsFigures, times: int) -> None:
        """Add a valid row that is written ``times`` times."""
        self.examples += times
        self.words.observe_sample(params.words, times)
        for figures, value in (
            (self.tools, params.tools),
            (self.turns, params.turns),
            (self.temperature, params.temperature),
        ):
            if value is not None:
                figures.observe_sample(value, times)
        for name, value in row.items():
            if name not in _NOT_COLUMNS and _counts(value):
                self._column(name).observe(value, times)

    def _column(self, name: str) -> ColumnFigures:
        column = self.columns.get(name)
        if column is None:
            column = self.columns[name] = ColumnFigures()
        return column

    def merge(self, other: RowMetrics) -> None:
        """Add the figures of another data set, columns included."""
        self._merge_core(other)
        for name, column in other.columns.items():
            self._column(name).merge(column)

    def merge_as_upstream(self, other: RowMetrics) -> None:
        """As ``merge``, but a column has the figures of the last data set that has it, as NeMo Gym writes it."""
        self._merge_core(other)
        self.columns.update(other.columns)

    def _merge_core(self, other: RowMetrics) -> None:
        self.examples += other.examples
        self.tools.merge(other.tools)
        self.words.merge(other.words)
        self.turns.merge(other.turns)
        self.temperature.merge(other.temperature)

    def dump(self, header: Mapping[str, Any], *, columns_replace_header: bool) -> dict[str, Any]:
        """The metrics file: the header, the five core figures, the columns.

        Args:
            header: the entry's own keys.
            columns_replace_header: whether a column with the name of a key takes its place, as in NeMo Gym; otherwise
                it is written as ``NAME (column)``.
        """
        core = {
            _EXAMPLES: self.examples,
            _TOOLS: self.tools.dump(),
            _WORDS: self.words.dump(),
            _TURNS: self.turns.dump(),
            _TEMPERATURE: self.temperature.dump(),
        }
        result = {**header, **core}
        for name, figures in self._dumped_columns():
            clashes = name in core or (name in header and not columns_replace_header)
            result[f"{name} (column)" if clashes else name] = figures
        return result

    def _dumped_columns(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, column in self.columns.items():
            figures = column.dump()
            if figures and not name.startswith("_"):
                yield name, figures


def merged(parts: Iterable[RowMetrics], *, as_upstream: bool) -> RowMetrics:
    """Figures over several data sets of a type."""
    total = RowMetrics()
    for part in parts:
        if as_upstream:
            total.merge_as_upstream(part)
        else:
            total.merge(part)
    return total
