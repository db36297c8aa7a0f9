"""Programs against their tests, in the sandbox. What a harmful program meets is told in the project's own tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gymctl.server.responses import message
from gymctl.server.testing import Episode, episode, example_rows

FOLDER = Path(__file__).parents[1]
ROW = example_rows(FOLDER)[0]  # two integers from one line: print their sum


@pytest.fixture(scope="module")
def rollout() -> Iterator[Episode]:
    with episode(FOLDER, num_processes=1, unit_test_timeout_secs=5.0) as made:
        yield made


@pytest.mark.parametrize(
    ("code", "reward"),
    [
        ("a, b = map(int, input().split())\nprint(a + b)", 1.0),
        ("a, b = map(int, input().split())\nprint(a - b)", 0.0),
        ("import socket\nsocket.create_connection(('127.0.0.1', 80))", 0.0),
        ("print(", 0.0),
    ],
)
def test_a_program_is_rewarded_when_it_passes_every_test(rollout: Episode, code: str, reward: float) -> None:
    assert rollout.verify(ROW, [message(f"```python\n{code}\n```")])["reward"] == reward


def test_no_program_earns_nothing(rollout: Episode) -> None:
    assert all(rollout.verify(row, [message("I would rather not.")])["reward"] == 0.0 for row in example_rows(FOLDER))
