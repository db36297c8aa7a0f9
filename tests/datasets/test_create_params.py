"""Rows of the usual shape are judged without pydantic as they are with it, and the words that count are the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gymctl.datasets.create_params import _is_usual, figures_of, validated
from gymctl.datasets.prompts import RowError

TEXT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner, max_size=2), max_leaves=4
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]), "content": TEXT | JSON},
    optional={"type": st.sampled_from(["message", "reasoning"]), "id": TEXT},
)
TOOL = st.fixed_dictionaries(
    {"type": st.just("function"), "name": TEXT},
    optional={
        "parameters": st.just({"type": "object"}) | JSON,
        "strict": st.none() | st.booleans() | TEXT,
        "description": st.none() | TEXT,
        "extra": TEXT,
    },
)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "input": TEXT | st.lists(MESSAGE, max_size=3),
        "tools": st.none() | st.lists(TOOL, max_size=2),
        "temperature": st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
        "max_output_tokens": st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        "parallel_tool_calls": st.none() | st.booleans(),
        "tool_choice": st.sampled_from(["auto", "none", "required", "never"]),
        "model": st.none() | TEXT,
        "unknown": st.none(),
    },
)


@settings(deadline=None)
@given(PARAMS)
def test_a_usual_row_is_valid_and_unchanged_by_validation(params: dict[str, Any]) -> None:
    if _is_usual(params):
        assert validated(params) == params


@settings(deadline=None)
@given(PARAMS)
def test_words_are_those_of_the_validated_parameters(params: dict[str, Any]) -> None:
    try:
        expected = len(json.dumps(validated(params)).split())
    except RowError:
        with pytest.raises(RowError):
            figures_of(params)
        return
    assert figures_of(params).words == expected


def test_keys_that_nemo_gym_drops_do_not_count() -> None:
    plain = {"input": [{"role": "user", "content": "a b"}]}
    more = {"input": [{"role": "user", "content": "a b", "name": "one two three"}]}
    assert figures_of(more).words == figures_of(plain).words


@pytest.mark.parametrize(
    ("params", "tools", "turns", "temperature"),
    [
        ({"input": "x"}, None, 1, None),
        ({"input": []}, None, None, None),
        ({"input": [{"role": "system", "content": "x"}], "tools": []}, 0, None, None),
        ({"input": [{"role": "user", "content": "x"}] * 2, "temperature": 1}, None, 2, 1.0),
        ({"input": "x", "temperature": None}, None, 1, None),
    ],
)
def test_what_is_counted(params: Any, tools: Any, turns: Any, temperature: Any) -> None:
    figures = figures_of(params)
    assert (figures.tools, figures.turns, figures.temperature) == (tools, turns, temperature)
