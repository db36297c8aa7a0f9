"""Exactly the right values in the right order; and rows that can be made again, of any length."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gymctl.server.responses import function_call
from gymctl.server.testing import Episode, episode, example_rows

FOLDER = Path(__file__).parents[1]
ROW = {"needles": ["Amber", "Cedar", "Ember"], "decoys": ["Basalt"]}


def submitting(values: Any) -> dict[str, Any]:
    return function_call("submit_needle_values", json.dumps({"values": values}))


def looking_up(needle: str) -> dict[str, Any]:
    return function_call("get_needle_value", json.dumps({"needle": needle}))


@pytest.fixture
def rollout() -> Iterator[Episode]:
    with episode(FOLDER) as made:
        yield made


@pytest.fixture
def values(rollout: Episode) -> list[int]:
    return [rollout.tool("get_needle_value", needle=needle)["value"] for needle in ROW["needles"]]


def test_all_values_in_order_are_rewarded(rollout: Episode, values: list[int]) -> None:
    verdict = rollout.verify(ROW, [submitting(values)])
    assert (verdict["reward"], verdict["share_found"], verdict["wrong_order"]) == (1.0, 1.0, False)
    assert rollout.tool("submit_needle_values", values=values) == {"received": 3}


def test_anything_else_is_not(rollout: Episode, values: list[int]) -> None:
    def verdict(handed_in: Any) -> tuple[Any, Any, Any]:
        needles = rollout.verify(ROW, [submitting(handed_in)])
        return needles["reward"], needles["share_found"], needles["wrong_order"]

    assert verdict(values[::-1]) == (0.0, 1.0, True)
    assert verdict(values[:2]) == (0.0, pytest.approx(2 / 3), False)
    assert verdict([*values, 1]) == (0.0, 1.0, False)
    assert verdict([*values, "x", None, [1]]) == (0.0, 1.0, False)
    assert verdict("values") == verdict([]) == verdict(None) == (0.0, 0.0, False)


def test_the_last_call_counts_and_broken_ones_earn_nothing(rollout: Episode, values: list[int]) -> None:
    broken = function_call("submit_needle_values", "{")
    assert rollout.verify(ROW, [broken, submitting(values)])["reward"] == 1.0
    assert rollout.verify(ROW, [submitting(values), broken])["reward"] == 0.0
    assert rollout.verify(ROW)["reward"] == 0.0
    assert rollout.verify({"needles": []}, [submitting([])])["reward"] == 0.0


def test_a_decoy_that_was_looked_up_is_seen(rollout: Episode, values: list[int]) -> None:
    assert rollout.verify(ROW, [looking_up("Amber"), submitting(values)])["decoy_hit"] is False
    assert rollout.verify(ROW, [looking_up("Basalt"), submitting(values)])["decoy_hit"] is True
    decoy = rollout.tool("get_needle_value", needle="Basalt")["value"]
    assert rollout.verify(ROW, [submitting([*values, decoy])])["decoy_hit"] is True


def made(*arguments: str) -> str:
    command = [sys.executable, str(FOLDER / "make_rows.py"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_bundled_rows_are_those_of_the_defaults() -> None:
    assert made() == (FOLDER / "data" / "example.jsonl").read_text()


def test_rows_of_any_length(rollout: Episode) -> None:
    row = json.loads(made("--rows", "1", "--words", "20000", "--needles", "20", "--seed", "7"))
    text = row["responses_create_params"]["input"][0]["content"]
    assert 20_000 <= len(text.split()) < 20_500
    places = [text.index(f'"{needle}"') for needle in row["needles"]]
    assert places == sorted(places)
    names = [*row["needles"], *row["decoys"]]
    assert (len(row["needles"]), len(set(names))) == (20, 40)
    assert len({rollout.tool("get_needle_value", needle=name)["value"] for name in names}) == 40  # no two alike


def test_the_rows_can_be_solved(rollout: Episode) -> None:
    for row in example_rows(FOLDER):
        right = [rollout.tool("get_needle_value", needle=needle)["value"] for needle in row["needles"]]
        assert rollout.verify(row, [submitting(right)])["reward"] == 1.0
