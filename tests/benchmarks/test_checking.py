"""The event loop stays quick while checks run beside it."""

from __future__ import annotations

import pytest

from benchmarks.checking import measure, run, table

pytestmark = pytest.mark.enable_socket


def test_every_verdict_is_counted() -> None:
    found = run(measure("library_judge_math", 20, 8))
    assert (found.count, found.right) == (20, 20)
    assert found.median_lag <= found.p99_lag <= found.worst_lag
    assert "| library_judge_math | 20 |" in table([found])


@pytest.mark.slow
def test_1000_verifications_at_256_keep_the_p99_lag_under_50_ms() -> None:
    found = run(measure("library_judge_math", 1000, 256))
    assert found.right == 1000
    assert found.p99_lag < 50, table([found])
