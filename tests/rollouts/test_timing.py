"""Per-hop times and where they come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from rollout_stack import Agents, collected, spec_of

from gymctl.errors import InputError
from gymctl.rollouts.concurrency import Adaptive
from gymctl.rollouts.timing import Timing, parse_server_timing, summarise, summarise_file


@pytest.mark.parametrize(
    ("header", "hops"),
    [
        ("", {}),
        ('seed;dur=1.2, model;dur=30.1;desc="2"', {"seed": 1.2, "model": 30.1}),
        ("model;dur=1,model;dur=2", {"model": 3.0}),
        ("cache, db;desc=x, ;dur=1, bad;dur=x", {}),
    ],
)
def test_server_timing_header(header: str, hops: dict[str, float]) -> None:
    assert parse_server_timing(header) == hops


def test_the_shares_of_a_waterfall_make_up_the_whole() -> None:
    timings = [("a", Timing(10.0, 90.0, 1, {"model": 60.0, "verify": 10.0})) for _ in range(10)]
    (waterfall,) = summarise(timings)
    assert [share.hop for share in waterfall.hops] == ["queue", "model", "verify", "between"]
    assert [round(share.share, 3) for share in waterfall.hops] == [0.1, 0.6, 0.1, 0.2]
    assert (waterfall.p50_ms, waterfall.rollouts) == (100.0, 10)


def test_a_waterfall_of_a_run(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 6)
    collected(spec, Agents())
    (waterfall,) = summarise_file(spec.output)
    assert waterfall.agent == "alpha"
    assert {share.hop: share.p50_ms for share in waterfall.hops}["model"] == 2.5
    with pytest.raises(InputError, match="no result"):
        summarise_file(spec.input)


def drive(capacity: int, windows: int) -> Adaptive:
    """A server that works ``capacity`` rollouts a second, whatever is sent."""
    now = [0.0]
    limit = Adaptive(lambda: now[0])
    for _ in range(windows):
        for _ in range(limit.now):
            now[0] += 1.0 / min(capacity, limit.now)
            limit.succeeded(limit.now)
    return limit


def test_concurrency_settles_near_what_the_server_can_do() -> None:
    assert 64 <= drive(100, 60).now <= 256
    assert drive(10_000, 60).now == 1024


def test_refusals_take_concurrency_down_once_per_window() -> None:
    limit = Adaptive(lambda: 0.0, start=100)
    limit.refused()
    limit.refused()
    assert limit.now == 70
