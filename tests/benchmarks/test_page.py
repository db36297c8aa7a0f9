"""What was measured goes into the page, and nothing else changes there."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import chart, page, report, sweep
from benchmarks.cases import TWELVE, Sample

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def rollouts(side: str, concurrency: int, delay: int, **more: float) -> Sample:
    values = {"cpu_ms": 2.0, "rate": 500.0, "p99_ms": 9000.0, "p50_ms": 5.0, "peak_mb": 100.0, "failed": 0}
    label = f"rollouts, {concurrency:,} concurrent, {delay / 1000:g} s model"
    return Sample(label, side, {**values, "concurrency": concurrency, "delay_ms": delay, **more}, load=1.5)


SAMPLES = [
    rollouts("gymctl", 1024, 0),
    rollouts("nemo-gym", 1024, 0, cpu_ms=20.0),
    rollouts("gymctl", 16_384, 2000, ideal_p99_ms=6000.0, over_ideal=1.5),
    Sample(TWELVE, "gymctl", {"seconds": 5.0, "memory_mb": 380.0}, load=1.0),
    Sample(TWELVE, "nemo-gym", {"seconds": 60.0, "memory_mb": 2800.0}, load=1.0),
    Sample("/verify, 64 concurrent", "gymctl", {"cpu_ms": 0.1, "rate": 9000.0}, load=1.0),
]


def test_every_table_finds_its_place_in_the_page(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text(PAGE.read_text())
    assert page.write(tmp_path, SAMPLES) == ["sweep", "slow", "twelve", "calls"]
    text = (tmp_path / "performance.md").read_text()
    assert "| 1,024 | 2 | 20 | 10.0x | 500 | 500 | 1.0x | 9,000 | 9,000 | 0 / 0 |" in text
    assert "| 16,384 | 9,000 | 6,000 | 1.5 | - | 100 | - | 0 |" in text
    assert "| start of twelve servers | seconds | 5 | 60 | 12.0x |" in text
    assert "The machine's load before these runs was 1.5 to 1.5." in text
    assert text.split("## Where the time goes")[1] == PAGE.read_text().split("## Where the time goes")[1]
    assert "/verify" in (tmp_path / "performance.svg").read_text()


def test_releases_that_were_measured_together_have_a_table_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text(PAGE.read_text())
    sides = {"gymctl": 1.0, "nemo-gym": 15.0, "nemo-gym 0.7.0": 18.0}
    together = [Sample("rollouts", side, {"cpu_ms": cpu}, load=1.0) for side, cpu in sides.items()]
    assert page.write(tmp_path, together) == ["releases"]
    text = (tmp_path / "performance.md").read_text()
    assert "| case |  | gymctl | NeMo Gym | NeMo Gym 0.7.0 | better by |" in text
    assert "| rollouts | CPU each, ms | 1 | 15 | 18 | 15.0x |" in text


def test_servers_without_features_have_a_table_and_a_color_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text(PAGE.read_text())
    sides = {"gymctl": 1.0, "nemo-gym": 15.0, "nemo-gym 0.7.0": 18.0, "floor": 0.5}
    beside = [Sample("rollouts beside the floor", side, {"cpu_ms": cpu}, load=1.0) for side, cpu in sides.items()]
    assert page.write(tmp_path, beside) == ["floor"]
    text = (tmp_path / "performance.md").read_text()
    assert "| rollouts beside the floor | CPU each, ms | 1 | 15 | 18 | 0.5 | 15.0x |" in text
    drawn = chart.chart(report.lines(beside, [*sides]), "CPU")
    assert all(drawn.count(f'fill="{color}"') == 2 for color in chart.COLORS[: len(sides)])


def test_tables_that_were_not_measured_stay(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text(PAGE.read_text())
    page.write(tmp_path, SAMPLES[3:5])
    assert (tmp_path / "performance.md").read_text().split("<!-- measured: twelve -->")[0] == PAGE.read_text().split(
        "<!-- measured: twelve -->"
    )[0]
    assert not (tmp_path / "performance.svg").exists()


def test_a_page_without_a_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text("nothing")
    with pytest.raises(RuntimeError, match="no place for the table 'sweep'"):
        page.write(tmp_path, SAMPLES)


def test_the_ideal_is_the_models_time_and_the_machines_own() -> None:
    assert sweep.ideal_p99_ms(1, 1000, 5.0, 2000) == 4005
    assert sweep.ideal_p99_ms(16_384, 1000, 5.0, 2000) == pytest.approx(4000 + 16_220, abs=1)


def test_a_run_has_some_rounds_and_never_fewer_than_are_in_flight() -> None:
    assert [sweep.count_of(number, 0) for number in sweep.CONCURRENCIES] == [320, 620, 1000, 1000, 2048, 4096, 16_384]
    assert [sweep.count_of(number, 2000) for number in sweep.CONCURRENCIES] == [2, 32, 128, 512, 2048, 4096, 16_384]
