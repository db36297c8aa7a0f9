"""Conversations that grow: always the messages that a conversion of the whole input gives."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.config import exact_json
from gymctl.server.chat import GrowingConversations, Style, messages_of
from gymctl.server.chat.messages import ConvertedItems, convert_items
from gymctl.server.chat.token_ids import TRAINING_FIELDS
from gymctl.server.message import RefusedError

TEXT = st.text(max_size=5) | st.just("<think>a</think>b")
IDS = st.just({"prompt_token_ids": [1], "generation_token_ids": [2], "generation_log_probs": [-0.5]})
ROLES = st.sampled_from(["user", "system", "developer", "assistant", "tool"])


def message(role: str, text: str) -> dict[str, Any]:
    if role == "tool":
        return {"role": role, "tool_call_id": "c", "content": text}
    return {"role": role, "content": text}


ITEMS = st.one_of(
    st.builds(message, ROLES, TEXT),
    st.builds(lambda text, ids: {"type": "message", "role": "assistant", "content": text, **ids}, TEXT, IDS),
    st.builds(lambda text: {"type": "reasoning", "id": "r", "summary": [{"type": "s", "text": text}]}, TEXT),
    st.builds(lambda n: {"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"}, st.integers()),
    st.builds(lambda text: {"type": "function_call_output", "call_id": "c", "output": text}, TEXT),
)
STYLES = st.builds(Style, reasoning_parser=st.booleans(), interleaved=st.booleans(), token_ids=st.booleans())
CALLS = st.lists(
    st.tuples(st.sampled_from(["one", "two"]), st.sampled_from(["grow", "cut", "change"]), st.lists(ITEMS, max_size=4)),
    max_size=8,
)


@given(style=STYLES, calls=CALLS, kept_bytes=st.sampled_from([0, 300, 1 << 20]), is_spaced=st.booleans())
def test_every_call_has_the_messages_of_its_whole_input(
    style: Style, calls: list[tuple[str, str, list[dict[str, Any]]]], kept_bytes: int, is_spaced: bool
) -> None:
    conversations = GrowingConversations(style, kept_bytes)
    inputs: dict[str, list[dict[str, Any]]] = {"one": [], "two": []}
    for session, change, items in calls:
        earlier = inputs[session]
        if change == "cut":
            earlier = earlier[:-1]
        elif change == "change" and earlier:
            earlier = [{"role": "user", "content": "another beginning"}, *earlier[1:]]
        inputs[session] = [*earlier, *items]
        text = exact_json.dumps(inputs[session])
        if is_spaced:
            text = orjson.dumps(inputs[session], option=orjson.OPT_INDENT_2)
        expected = messages_of(inputs[session], style)
        converted = conversations.convert(session, text)
        assert exact_json.loads(converted.json) == expected
        if converted.last or (expected and expected[-1]["role"] == "assistant"):
            assert converted.last == expected[-1]


def test_only_what_is_new_is_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    from gymctl.server.chat import growing

    lengths: list[int] = []
    convert = convert_items

    def counted(items: list[Any], style: Style, first: int = 0) -> ConvertedItems:
        lengths.append(len(items))
        return convert(items, style, first)

    monkeypatch.setattr(growing, "convert_items", counted)
    conversations = GrowingConversations(Style())
    items: list[dict[str, Any]] = [{"role": "user", "content": "question"}]
    for step in range(50):
        conversations.convert("s", exact_json.dumps(items))
        items.append({"type": "function_call", "call_id": f"c{step}", "name": "f", "arguments": "{}"})
        items.append({"type": "function_call_output", "call_id": f"c{step}", "output": "x" * 1000})
    assert lengths == [1] + [2] * 49


def test_the_place_of_a_refused_item_counts_from_the_beginning() -> None:
    conversations = GrowingConversations(Style())
    items: list[dict[str, Any]] = [{"role": "user", "content": "u"}, {"role": "user", "content": "v"}]
    conversations.convert("s", exact_json.dumps(items))
    with pytest.raises(RefusedError) as refused:
        conversations.convert("s", exact_json.dumps([*items, {"type": "computer_call"}]))
    assert refused.value.place[:2] == ("input", 2)


def test_what_is_kept_is_bounded() -> None:
    conversations = GrowingConversations(Style(), kept_bytes=10_000)
    for number in range(100):
        conversations.convert(f"s{number}", exact_json.dumps([{"role": "user", "content": "x" * 1000}]))
    assert conversations.size <= 10_000


def test_training_fields_of_earlier_turns_stay() -> None:
    ids = {"prompt_token_ids": [1, 2], "generation_token_ids": [3], "generation_log_probs": [-0.25]}
    conversations = GrowingConversations(Style(token_ids=True))
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "u"},
        {"type": "message", "role": "assistant", "content": "a", **ids},
        {"role": "user", "content": "v"},
    ]
    conversations.convert("s", exact_json.dumps(items))
    converted = conversations.convert("s", exact_json.dumps([*items, {"role": "user", "content": "w"}]))
    messages = exact_json.loads(converted.json)
    assert {name: messages[1].get(name) for name in TRAINING_FIELDS[:3]} == ids
