"""Any conversation converts to a chat and comes back; nothing said, thought, called or told is lost on the way."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gymctl.server.chat import Style, messages_of, output_items, prepare_messages

TEXTS = st.text(max_size=12) | st.sampled_from(["<think>", "</think>", "<think>x</think>y", "\n\n", '{"a":', "é🙂\x00"])
SAID = st.text(min_size=1, max_size=12).filter(lambda text: "<think>" not in text) | st.sampled_from(
    ["</think>", "<thin"]
)
IDS = st.fixed_dictionaries(
    {
        "prompt_token_ids": st.lists(st.integers(0, 9), min_size=1, max_size=3),
        "generation_token_ids": st.lists(st.integers(0, 9), max_size=3),
        "generation_log_probs": st.lists(st.just(-0.5), max_size=3),
    }
)


def parts(texts: list[str]) -> list[dict[str, str]]:
    return [{"type": "input_text", "text": text} for text in texts]


CONTENTS = TEXTS | st.lists(TEXTS, max_size=3).map(parts)
OTHERS = st.builds(
    lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "system", "developer"]), CONTENTS
)
OUTPUTS = st.builds(lambda call, text: {"type": "function_call_output", "call_id": call, "output": text}, SAID, TEXTS)


def as_argument(text: str) -> str:
    return orjson.dumps({"text": text}).decode()


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What a model says in one turn, as a model server puts it: reasoning, a message, calls, at least one of them."""
    thought, text = draw(st.none() | st.text(min_size=1, max_size=12)), draw(st.none() | SAID)
    calls = draw(st.lists(st.tuples(SAID, SAID, TEXTS), max_size=3))
    items: list[dict[str, Any]] = []
    if thought:
        items.append({"type": "reasoning", "summary": [{"type": "summary_text", "text": thought}]})
    if text:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        items.append({"type": "message", "role": "assistant", "content": content})
    for call, name, arguments in calls:
        items.append({"type": "function_call", "call_id": call, "name": name, "arguments": as_argument(arguments)})
    if items != [] and draw(st.booleans()):
        items[-1] |= draw(IDS)
    return items


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Turns of a model, and somebody else's word between any two."""
    items = draw(st.lists(OTHERS, max_size=2))
    for turn in draw(st.lists(turns(), max_size=4)):
        items += [*turn, *draw(st.lists(OUTPUTS | OTHERS, min_size=1, max_size=3))]
    return items


def back(messages: list[dict[str, Any]], style: Style) -> list[dict[str, Any]]:
    """Items of chat messages: the assistant's as a model server makes them, the others' as they were given."""
    items: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "assistant":
            converted = output_items(message, style)
            items += [{name: item[name] for name in item if name not in ("id", "status")} for item in converted]
        elif message["role"] == "tool":
            call, output = message["tool_call_id"], message["content"]
            items.append({"type": "function_call_output", "call_id": call, "output": output})
        else:
            content = message["content"]
            given_parts = content if isinstance(content, str) else parts([part["text"] for part in content])
            items.append({"role": message["role"], "content": given_parts})
    return items


@settings(max_examples=80, deadline=None)
@given(conversations())
def test_it_comes_back_as_it_was(items: list[dict[str, Any]]) -> None:
    style = Style(token_ids=True)
    assert back(messages_of(items, style), style) == items


@settings(max_examples=80, deadline=None)
@given(conversations())
def test_in_tags_it_comes_back_too_unless_a_thought_holds_a_tag(items: list[dict[str, Any]]) -> None:
    thoughts = [part["text"] for item in items if item.get("type") == "reasoning" for part in item["summary"]]
    if any("think>" in thought for thought in thoughts):
        return
    sent = messages_of(items, Style(reasoning_parser=False, token_ids=True))
    assert back(sent, Style(token_ids=True)) == items


ANY = st.lists(turns().flatmap(st.permutations) | st.lists(OUTPUTS | OTHERS, max_size=2), max_size=5).map(
    lambda groups: [item for group in groups for item in group]
)


@settings(max_examples=80, deadline=None)
@given(ANY, st.booleans(), st.booleans())
def test_in_any_order_nothing_is_lost_and_twice_is_as_once(
    items: list[dict[str, Any]], parser: bool, interleaved: bool
) -> None:
    style = Style(reasoning_parser=parser, interleaved=interleaved)
    messages = messages_of(items, style)
    calls = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    assert calls == [item["call_id"] for item in items if item.get("type") == "function_call"]
    text = "".join(message["content"] or "" for message in messages if message["role"] == "assistant")
    texts = [item["content"][0]["text"] for item in items if item.get("role") == "assistant"]
    if parser:
        assert text == "".join(texts)
        thought = [message["reasoning"] for message in messages if "reasoning" in message]
        given_thoughts = [item["summary"][0]["text"] for item in items if item.get("type") == "reasoning"]
        assert "\n".join(thought) == ("\n".join(given_thoughts) if interleaved else "")
    if parser and interleaved:
        assert messages_of(back(messages, style), style) == messages
    before = repr(messages)
    prepare_messages(messages, style)
    assert repr(messages) == before
