"""No request, however malformed, does more than be refused."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gymctl.server import HopFailed, RefusedError
from gymctl.server.chat import Style, only_thought, prepare_messages, request_of
from gymctl.server.models.answers import Api, read_answer

WORDS = "message reasoning function_call function_call_output user assistant system input_text input_image output_text"
LEAVES = st.none() | st.booleans() | st.integers(-2, 5) | st.text(max_size=4) | st.sampled_from(WORDS.split())
KEYS = "type role content text summary name arguments call_id output image_url detail format effort prompt_token_ids"
ANYTHING = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), below, max_size=4),
    max_leaves=10,
)
PARAMETERS = "tools tool_choice text reasoning include metadata instructions max_output_tokens top_logprobs store"
PARAMS = st.dictionaries(st.sampled_from(PARAMETERS.split()), ANYTHING, max_size=4)
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(WORDS.split()[:4]), "role": st.sampled_from(["user", "assistant", "developer"])},
    optional=dict.fromkeys(("content", "summary", "name", "arguments", "call_id", "output"), ANYTHING),
)


@settings(max_examples=150, deadline=None)
@given(PARAMS, st.lists(ITEM, max_size=3) | ANYTHING, st.booleans())
def test_create_params(params: dict[str, Any], items: Any, parser: bool) -> None:
    with contextlib.suppress(RefusedError):
        orjson.dumps(request_of({**params, "input": items}, Style(reasoning_parser=parser, token_ids=True)))


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({"role": st.just("assistant")}, optional={"content": ANYTHING, "tool_calls": ANYTHING}))
def test_a_chat_message(message: dict[str, Any]) -> None:
    with contextlib.suppress(RefusedError):
        prepare_messages([message], Style())
        only_thought(message)


@settings(max_examples=100, deadline=None)
@given(ANYTHING)
def test_an_answer(answer: Any) -> None:
    for api in Api:
        with pytest.raises(HopFailed):
            read_answer(api, orjson.dumps(answer), "model")
