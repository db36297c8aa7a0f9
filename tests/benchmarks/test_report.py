"""The benchmarks' tables and charts, from samples."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks import chart, report
from benchmarks.cases import Sample

SIDES = ("gymctl", "nemo-gym")
SAMPLES = [
    Sample("rollouts", side, {"cpu_ms": cpu, "rate": rate, "failed": 0}, load=0.5)
    for side, cpu, rate in (
        ("gymctl", 1.0, 900.0), ("nemo-gym", 10.0, 100.0),
        ("gymctl", 2.0, 1000.0), ("nemo-gym", 20.0, 100.0),
        ("gymctl", 9.0, 1100.0), ("nemo-gym", 30.0, 50.0),
    )
]  # fmt: skip


def test_a_line_holds_medians_and_the_spread() -> None:
    cpu, rate, _ = report.lines(SAMPLES, SIDES)
    assert cpu.sides == {"gymctl": (2.0, 1.0, 9.0), "nemo-gym": (20.0, 10.0, 30.0)}
    assert rate.sides["gymctl"] == (1000.0, 900.0, 1100.0)


def test_the_ratio_says_how_much_better_ours_is_whichever_way_is_better() -> None:
    cpu, rate, failed = report.lines(SAMPLES, SIDES)
    assert cpu.ratio == pytest.approx(10)
    assert rate.ratio == pytest.approx(10)
    assert failed.ratio is None


def test_one_side_alone_has_no_ratio() -> None:
    alone = [sample for sample in SAMPLES if sample.side == "gymctl"]
    assert [line.ratio for line in report.lines(alone, SIDES[:1])] == [None] * 3


def test_the_table_is_markdown() -> None:
    table = report.table(report.lines(SAMPLES, SIDES), SIDES).splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert "2 (1-9)" in table[2]
    assert "10.0x" in table[2]


def test_samples_survive_their_file(tmp_path: Path) -> None:
    report.save(tmp_path / "results.json", SAMPLES, {"command": "x"})
    assert report.read(tmp_path / "results.json") == SAMPLES


def test_the_chart_is_one_bar_for_each_side_of_each_line() -> None:
    drawing = ElementTree.fromstring(chart.chart(report.lines(SAMPLES, SIDES), "CPU & rate"))
    bars = [part for part in drawing.iter("{http://www.w3.org/2000/svg}rect") if part.get("height") == "12"]
    assert len(bars) == 4  # a count of zero failures is no bar


def test_a_side_has_one_color_in_every_line() -> None:
    sides = [f"side {number}" for number in range(7)]
    samples = [Sample("all", side, {"rate": 1.0}, load=0.0) for side in sides]
    samples += [Sample("some", side, {"rate": 2.0}, load=0.0) for side in sides[::2]]
    drawing = ElementTree.fromstring(chart.chart(report.lines(samples, sides), "rate"))
    colors = [bar.get("fill") for bar in drawing.iter("{http://www.w3.org/2000/svg}rect") if bar.get("x") != "0"][1:]
    legend, every, some = colors[:7], colors[7:14], colors[14:]
    assert legend == every
    assert some == every[::2]


def test_an_empty_chart_is_a_chart() -> None:
    ElementTree.fromstring(chart.chart([], "nothing"))
