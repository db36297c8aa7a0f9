"""Histograms, names and stretches of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_rows import failure, result, write

from gymctl.results import Index, Measure, Query, read_histogram, read_names, read_stretches, read_totals
from gymctl.results.distribution import _bins

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(NUMBERS, max_size=80), st.booleans())
@settings(max_examples=300)
def test_each_value_is_in_exactly_one_bin(values: list[float], whole: bool) -> None:
    if whole:
        values = [float(round(value)) for value in values]
    bins = list(_bins(values, whole=whole))
    assert len(bins) <= 25
    assert [each.low for each in bins] == sorted({each.low for each in bins})
    for each in bins:
        assert each.count == sum(each.low <= value <= each.high for value in values)
    assert sum(each.count for each in bins) == len(values)


def test_few_values_have_a_bin_each(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(task, reward=task % 3) for task in range(30)])
    with Index.open(path) as index:
        bins = read_histogram(index, Measure.REWARD).bins
    assert [(each.low, each.high, each.count) for each in bins] == [(0, 0, 10), (1, 1, 10), (2, 2, 10)]


def test_histograms_obey_filters_and_leave_out_masked_rewards(tmp_path: Path) -> None:
    rows = [result(0, reward=0.25), result(1, reward=1.0, mask_sample=True), result(2, reward=0.5)]
    with Index.open(write(tmp_path / "r.jsonl", rows)) as index:
        assert [each.low for each in read_histogram(index, Measure.REWARD).bins] == [0.25, 0.5]
        assert [each.low for each in read_histogram(index, Measure.REWARD, Query(tasks=(2,))).bins] == [0.5]
        assert read_histogram(index, Measure.TIME, Query(tasks=(9,))).bins == ()


def test_names_and_totals(tmp_path: Path) -> None:
    rows = [result(0), result(1, reward=0.0), result(4, reward=0.0, mask_sample=True)]
    path = write(tmp_path / "r.jsonl", rows, [failure(2), failure(3, failure_class="x")])
    with Index.open(path) as index:
        names = read_names(index)
        totals = read_totals(index)
    assert [(each.name, each.count) for each in names.agents] == [("weather_agent", 5)]
    assert {each.name for each in names.failure_classes} == {"timeout", "x", "masked"}
    assert [each.name for each in names.failure_hops] == ["weather"]
    assert [(each.name, each.count) for each in names.tools] == [("get_weather", 3)]
    assert (totals.rollouts, totals.passed, totals.failed, totals.masked, totals.mean) == (5, 1, 2, 1, 0.5)


@pytest.mark.parametrize(("rows", "count"), [(0, 10), (1, 10), (9, 10), (10, 10), (95, 10), (101, 100)])
def test_stretches_hold_every_result_once(rows: int, count: int, tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(task, reward=float(task)) for task in range(rows)])
    with Index.open(path) as index:
        stretches = read_stretches(index, count=count)
    assert len(stretches) <= count
    assert sum(stretch.rollouts for stretch in stretches) == rows
    assert [stretch.first_line for stretch in stretches] == sorted(stretch.first_line for stretch in stretches)
