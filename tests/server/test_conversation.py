"""Create params that grow: the same as if everything was encoded again for each call."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.config import exact_json
from gymctl.server import Conversation, RefusedError

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(st.none() | st.booleans() | NUMBERS | st.text(), lambda inner: st.lists(inner, max_size=3))
ITEMS = st.dictionaries(st.text(), VALUES, max_size=4).map(lambda item: {**item, "type": "function_call_output"})
NAMES = st.text().filter(lambda name: name != "input")


@given(
    others=st.dictionaries(NAMES, VALUES, max_size=3),
    asked=st.lists(ITEMS, max_size=3),
    added=st.lists(st.lists(ITEMS, max_size=3), max_size=4),
)
def test_a_conversation_is_its_params_with_all_items(
    others: dict[str, Any], asked: list[dict[str, Any]], added: list[list[dict[str, Any]]]
) -> None:
    conversation = Conversation({**others, "input": asked})
    items = list(asked)
    for more in added:
        conversation.add(more)
        items += more
        expected = exact_json.loads(exact_json.dumps({**others, "input": items}))
        assert exact_json.loads(conversation.body) == expected


def test_numbers_stay_exact() -> None:
    conversation = Conversation(
        {"input": "x", "metadata": {"big": 10**30, "small": Decimal("0.1000000000000000000001")}}
    )
    assert b'"big":1000000000000000000000000000000' in conversation.body
    assert b'"small":0.1000000000000000000001' in conversation.body


@pytest.mark.parametrize("value", [3, {"role": "user"}, [{"role": "tool", "content": "x"}]])
def test_an_input_that_is_no_conversation_is_refused(value: Any) -> None:
    with pytest.raises(RefusedError, match="input"):
        Conversation({"input": value})
