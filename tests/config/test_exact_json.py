"""No number changes between reading and writing, and no text is lost to a broken character."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from gymctl.config import exact_json

DIGITS = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=20,
)


def exactly(text: str | bytes) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@settings(max_examples=300, deadline=None)
@given(DIGITS)
def test_a_number_keeps_its_value(text: str) -> None:
    assert exactly(exact_json.dumps(exact_json.loads(f'{{"a": [{text}]}}'))) == {"a": [Decimal(text)]}


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_a_value_comes_back(value: Any) -> None:
    assert exact_json.loads(exact_json.dumps(value)) == value
    assert exact_json.loads(exact_json.dumps_finite(value)) == value


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_fields_taken_apart_are_the_same_object(value: dict[str, Any]) -> None:
    fields = exact_json.split_fields(exact_json.dumps(value))
    assert list(fields) == list(value)
    assert exact_json.loads(exact_json.join_fields(fields)) == value


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=12))
def test_half_a_surrogate_pair_is_replaced(text: str) -> None:
    value, repaired = exact_json.loads_repaired(json.dumps({"a": text}).encode())
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert value == json.loads(repaired) == {"a": expected}
    assert json.loads(exact_json.dumps({"a": text, "n": 2**70})) == {"a": expected, "n": 2**70}


def test_an_escaped_backslash_is_not_an_escape() -> None:
    text = rb'{"a": "\\ud83d \ud83d\ude00 \ud83d"}'
    assert exact_json.loads_repaired(text)[0] == {"a": "\\ud83d \U0001f600 �"}


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "the value"),
        ({"a": [1, {"b": float("inf")}]}, r"a\.1\.b"),
        ({"a": Decimal("NaN")}, "a"),
        ({"a": None, "b": (0, float("-inf"))}, r"b\.1"),
    ],
)
def test_what_is_not_finite_is_refused_with_its_place(value: Any, place: str) -> None:
    with pytest.raises(exact_json.NotFiniteError, match=f"^{place} is not a finite number"):
        exact_json.dumps_finite(value)


def test_keys_and_types_that_json_lacks() -> None:
    class Point(BaseModel):
        x: float

    def plain(value: Any) -> Any:
        if isinstance(value, Point):
            return value.model_dump()
        raise TypeError

    assert exact_json.dumps({128001: -100, 2**70: {True: 1}}) == b'{"128001":-100,"1180591620717411303424":{"true":1}}'
    assert exact_json.dumps({"p": Point(x=1), "n": 2**70}, plain) == b'{"p":{"x":1.0},"n":1180591620717411303424}'
    with pytest.raises(exact_json.NotFiniteError, match=r"p\.x"):
        exact_json.dumps_finite({"p": Point(x=float("nan"))}, plain)
    with pytest.raises(TypeError):
        exact_json.dumps({"p": object(), "n": 2**70})


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 5_000, b"", b"{", b"NaN", b"1" * 5_000])
def test_what_cannot_be_read_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        exact_json.loads(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"NaN": "NaN", "b": NaN}', "NaN at column 21"),
        (b"[-Infinity]", "-Infinity at column 2"),
        (b'{"a": "\\"NaN", "b": [1, Infinity]}', "Infinity at column 25"),
    ],
)
def test_numbers_that_json_lacks_are_named(text: bytes, problem: str) -> None:
    assert exact_json.explain(text).startswith(f"{problem}: not a JSON number")
    assert exact_json.explain(b'{"a": "NaN"') == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (rb'{"a":"\ud800"}', r"\ud800 at column 7: half of a surrogate pair"),
        (rb'{"a":"\\ud800 \udc00"}', r"\udc00 at column 15: half of a surrogate pair"),
        (rb'{"\uDBFF":1}', r"\uDBFF at column 3: half of a surrogate pair"),
        (rb'{"a":"\ud83d\ude00"}', ""),
        (b'{"a":NaN}', "NaN at column 6"),
    ],
)
def test_what_is_wrong_with_a_text_is_named(text: bytes, problem: str) -> None:
    explanation = exact_json.explain(text)
    assert explanation.startswith(problem)
    assert bool(explanation) == bool(problem)
