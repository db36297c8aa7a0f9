"""The verdict looks at the list that was handed in last, and at nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gymctl.server.responses import function_call
from gymctl.server.testing import episode, example_rows

FOLDER = Path(__file__).parents[1]
ROW = example_rows(FOLDER)[0]


def handing_in(arguments: str) -> dict[str, Any]:
    return function_call("extract_synonym_values", arguments)


@pytest.mark.parametrize(
    ("handed_in", "reward", "overlap", "mine", "order"),
    [
        ([711, 501], 1.0, 1.0, False, False),
        ([501, 711], 0.0, 1.0, False, True),
        ([711], 0.0, 0.5, False, False),
        ([711, 501, 299], 0.0, 1.0, True, True),
        ([299], 0.0, 0.0, True, False),
        (["Hot"], 0.0, 0.0, True, False),
        ([711, "x", 501], 0.0, 1.0, False, True),
        ([[711], {"a": 501}], 0.0, 0.0, False, False),
        ([], 0.0, 0.0, False, False),
        ("711", 0.0, 0.0, False, False),
        (None, 0.0, 0.0, False, False),
    ],
)
def test_verdicts(handed_in: Any, reward: float, overlap: float, mine: bool, order: bool) -> None:
    with episode(FOLDER) as rollout:
        verdict = rollout.verify(ROW, [handing_in(json.dumps({"synonym_values": handed_in}))])
    assert verdict["reward"] == reward
    assert verdict["accuracy"] is (reward == 1.0)
    assert verdict["set_overlap"] == overlap
    assert verdict["original_term_minefield_hit"] is mine
    assert verdict["order_instruction_following_failure"] is order
    assert all(isinstance(value, int) for value in verdict["parsed_synonym_values"])


@pytest.mark.parametrize("arguments", ["", "{", "[]", "null", '{"other": 1}'])
def test_the_last_call_is_taken_and_broken_ones_are_survived(arguments: str) -> None:
    good = handing_in('{"synonym_values": [711, 501]}')
    with episode(FOLDER) as rollout:
        assert rollout.verify(ROW, [handing_in(arguments), good])["reward"] == 1.0
        assert rollout.verify(ROW, [good, handing_in(arguments)])["reward"] == 0.0


def test_the_rows_fields_are_needed() -> None:
    with episode(FOLDER) as rollout:
        reply = rollout.post("/verify", {"responses_create_params": {"input": "hi"}, "response": {"output": []}})
    assert reply.status == 422
    assert {problem["loc"][-1] for problem in reply.json()["detail"]} >= {"id", "expected_synonym_values"}


def test_a_words_value_is_the_sum_of_its_characters() -> None:
    with episode(FOLDER) as rollout:
        assert rollout.tool("get_synonym_value", synonym="Hot") == {"synonym_value": 299}
        assert rollout.tool("extract_synonym_values", synonym_values=[1]) == {"success": True}
