"""The event loop stays quick while checks run beside it."""

from __future__ import annotations

import pytest

from benchmarks.checking import measure, run, table

pytestmark = pytest.mark.enable_socket


def test_every_verdict_is_counted() -> None:
    measured = run(measure("library_judge_math", 20, 8))
    assert (measured.count, measured.right) == (20, 20)
    assert measured.median_lag <= measured.p99_lag <= measured.worst_lag
    assert "| library_judge_math | 20 |" in table([measured])


@pytest.mark.slow
def test_1000_verifications_at_256_keep_the_p99_lag_under_50_ms() -> None:
    measured = run(measure("library_judge_math", 1000, 256))
    assert measured.right == 1000
    assert measured.p99_lag < 50, table([measured])
