from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from text_strategies import NASTY, any_text, mappings

from gymctl.stack.slices.interpolation import Piece, SecretFinder, dump_slice, escape_all, written


def read_back(text: str) -> Any:
    return OmegaConf.to_container(OmegaConf.create(text), resolve=True)


def same(left: Any, right: Any) -> bool:
    """Equal, and of equal types all the way down (True is no 1, 1.0 is no 1)."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


@given(mappings)
@settings(max_examples=60, deadline=None)
def test_a_child_reads_exactly_what_was_meant(data: dict[str, Any]) -> None:
    assert same(read_back(dump_slice(escape_all(data))), data)


def test_every_nasty_text_is_itself_again_as_value_and_as_key() -> None:
    data = {"values": NASTY, "keys": {text: number for number, text in enumerate(NASTY)}}
    assert same(read_back(dump_slice(escape_all(data))), data)


@given(st.lists(any_text, min_size=2, max_size=4))
@settings(max_examples=40, deadline=None)
def test_text_around_a_secret_survives(literals: list[str]) -> None:
    secret = "sk-${x}\\'\"\n$ecret\\"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GYM_KEY", secret)
        value = secret.join(literals)
        pieces = SecretFinder({"GYM_KEY": secret}).split(value)
        text = dump_slice({"url": written(pieces, {})})
        assert secret not in text
        assert read_back(text)["url"] == value


def test_a_short_secret_is_replaced_only_where_it_is_the_whole_text() -> None:
    finder = SecretFinder({"GYM_PIN": "1234"})
    assert finder.split("1234") == (Piece("1234", "GYM_PIN"),)
    assert finder.split("order 12345") == (Piece("order 12345"),)


def test_of_two_secrets_that_hold_each_other_the_longer_is_replaced_first() -> None:
    finder = SecretFinder({"GYM_KEY": "abcdefgh", "GYM_URL": "http://abcdefgh.test"})
    assert [piece.secret for piece in finder.split("see http://abcdefgh.test/abcdefgh")] == [
        None,
        "GYM_URL",
        None,
        "GYM_KEY",
    ]


def test_of_two_names_for_one_value_the_first_is_used() -> None:
    assert SecretFinder({"GYM_A": "same-value", "GYM_B": "same-value"}).split("same-value")[0].secret == "GYM_A"
