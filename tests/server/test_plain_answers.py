"""Answers that are taken as they are, because nearly all need no cleaning: never one that does."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.server.chat import token_ids
from gymctl.server.models import answer_shapes, token_counts
from gymctl.server.models.answer_shapes import ShapeError, clean_response

NUMBERS = st.one_of(
    st.integers(-2, 1 << 64),
    st.booleans(),
    st.none(),
    st.just(0),
    st.floats(allow_nan=False),
    st.just("7"),
    st.just("x"),
)
DETAILS = st.one_of(
    NUMBERS, st.dictionaries(st.sampled_from(("cached_tokens", "reasoning_tokens")), NUMBERS, max_size=2)
)
USAGES = st.dictionaries(st.sampled_from((*token_counts._PLAIN, "cost")), DETAILS, max_size=5)


@given(USAGES)
def test_a_usage_that_is_taken_as_it_is_needs_no_cleaning(usage: dict[str, Any]) -> None:
    cleaned = token_counts._usage_of(usage)
    if token_counts._is_plain(usage):
        assert (cleaned, token_counts._same_types(cleaned, usage)) == (usage, True)
        assert clean_response({"output": [], "usage": usage}, b"") is False


WORDS = st.sampled_from(("", "null", " ", "{}", "a b", "get_weather", "completed", "incomplete", "assistant", "user"))
PARTS = st.fixed_dictionaries({}, optional={"type": st.just("output_text"), "text": st.one_of(WORDS, st.none())})
CALL = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}", "status": "completed"}
MESSAGE = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]}
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(("message", "function_call", "reasoning", "function_call_output", None)),
    "name": st.one_of(WORDS, st.none()),
    "arguments": st.one_of(WORDS, st.none(), st.just({})),
    "status": st.one_of(WORDS, st.none()),
    "role": st.one_of(WORDS, st.none()),
    "content": st.one_of(WORDS, st.lists(st.one_of(PARTS, WORDS), max_size=2)),
    "tool_calls": st.one_of(st.none(), st.just([]), st.just([{}])),
    "input": WORDS,
}
CHANGES = st.lists(st.one_of([st.tuples(st.just(name), values) for name, values in FIELDS.items()]), max_size=2)
ITEMS = st.builds(lambda item, changes: {**item, **dict(changes)}, st.sampled_from((CALL, MESSAGE)), CHANGES)


@given(ITEMS)
def test_an_item_that_is_taken_as_it_is_needs_no_cleaning(item: dict[str, Any]) -> None:
    plain = answer_shapes._is_plain_item(item)
    response = {"output": [copy.deepcopy(item)]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answer_shapes, "_is_plain_item", lambda _: False)
        try:
            changed = clean_response(response, orjson.dumps(response))
        except ShapeError:
            changed = True
    if plain:
        assert (response["output"], changed) == ([item], False)


@given(ITEMS, st.lists(st.sampled_from(("index", "input")), max_size=1))
def test_a_call_that_is_taken_as_it_is_needs_no_cleaning(item: dict[str, Any], more: list[str]) -> None:
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    call = {"id": "call_1", "type": "function", "function": function, **dict.fromkeys(more, "1")}
    if answer_shapes._is_plain_call(call):
        assert answer_shapes._chat_call(call) == call


@given(st.lists(st.fixed_dictionaries({}, optional={"token": WORDS | st.integers(), "logprob": NUMBERS}) | WORDS))
def test_log_probs_are_a_text_and_a_number_each(tokens: list[Any]) -> None:
    expected = all(
        isinstance(each, dict) and isinstance(each.get("token"), str) and isinstance(each.get("logprob"), int | float)
        for each in tokens
    )
    assert token_ids._are_log_probs(tokens) == expected


@given(st.lists(NUMBERS))
def test_token_ids_are_whole_numbers(ids: list[Any]) -> None:
    assert token_ids._are_token_ids(ids) == all(isinstance(each, int) and each >= 0 for each in ids)
