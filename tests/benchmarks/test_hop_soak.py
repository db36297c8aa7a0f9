"""The HTTP client of the stack against a peer that resets, delays, splits and truncates, for about a minute."""

from __future__ import annotations

import pytest

from benchmarks import hop_soak


@pytest.mark.slow
def test_no_call_gets_the_response_of_another_and_nothing_leaks() -> None:
    result = hop_soak.run(calls=200_000, concurrency=64, seed=7)
    assert result.problems == []
    assert result.outcomes["right"] > 0.9 * result.calls
    assert result.outcomes["broken"] and result.outcomes["cancelled"]
