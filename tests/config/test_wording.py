"""Phrases that messages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from gymctl.config.wording import did_you_mean, duration, listing, nearest, suggestion


def test_the_nearest_name_or_nothing() -> None:
    assert did_you_mean("agnet", ["agent", "model"]) == "did you mean 'agent'?"
    assert nearest("zzz", ["agent"]) is None and did_you_mean("zzz", ["agent"]) == ""
    assert nearest(8001, [8000, "x"]) == "8000"


def test_a_suggestion_lists_what_there_is_when_nothing_is_near() -> None:
    assert suggestion("agnet", ["agent", "model"]) == "did you mean 'agent'?"
    assert suggestion("zzz", ["agent", "model"]) == "available: agent, model"
    assert suggestion("zzz", []) == ""


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, c"), (list("abcdef"), "a, b, c and 3 more")]
)
def test_a_list_is_cut_after_three(names: list[str], text: str) -> None:
    assert listing(names) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.9, "0s"), (59, "59s"), (184, "3m04s"), (7800, "2h10m"), (442800, "5d03h")]
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_nothing_else_looks_for_the_nearest_name_or_spells_an_address() -> None:
    package = Path(__file__).parents[2] / "gymctl"
    homes = {"config/wording.py", "config/vocabulary.py"}
    for phrase in ("get_close_matches", '"127.0.0.1"', '"0.0.0.0"', '"head_server"'):
        files = (path for path in package.rglob("*.py") if phrase in path.read_text(encoding="utf-8"))
        places = {str(path.relative_to(package)) for path in files} - homes
        assert not places, f"{phrase} has another home: {places}"
