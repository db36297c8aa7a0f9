"""The library's verdict alone: no judge is asked, none is needed. The project's own tests tell what a judge does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gymctl.server.responses import message
from gymctl.server.testing import Episode, episode, example_rows

FOLDER = Path(__file__).parents[1]
NO_JUDGE: dict[str, Any] = {
    "should_use_judge": False,
    "judge_model_server": {"type": "responses_api_models", "name": "nobody"},
}


@pytest.fixture(scope="module")
def rollout() -> Iterator[Episode]:
    with episode(FOLDER, **NO_JUDGE) as made:
        yield made


@pytest.mark.parametrize(
    ("expected", "reply", "reward"),
    [
        ("1/2", r"So it is \boxed{0.5}.", 1.0),
        (r"\frac{\sqrt{2}}{2}", r"\boxed{\frac{1}{\sqrt{2}}}", 1.0),
        ("7", r"\boxed{8}", 0.0),
        ("7", "I do not know.", 0.0),
        ("7", "", 0.0),
    ],
)
def test_the_library_decides(rollout: Episode, expected: str, reply: str, reward: float) -> None:
    verdict = rollout.verify({"question": "q", "expected_answer": expected}, [message(reply)])
    assert (verdict["reward"], verdict["library_reward"], verdict["judge_evaluations"]) == (reward, reward, None)


def test_the_rows_can_be_solved_and_need_not_be(rollout: Episode) -> None:
    for row in example_rows(FOLDER)[:10]:
        assert rollout.verify(row, [message(rf"\boxed{{{row['expected_answer']}}}")])["reward"] == 1.0
        assert rollout.verify(row, [message(r"\boxed{\text{no idea}}")])["reward"] == 0.0
