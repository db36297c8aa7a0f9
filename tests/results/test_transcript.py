"""A rollout as a conversation, and text made safe to print."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_rows import failure, result

from gymctl.errors import GymctlError
from gymctl.results.escaping import json_text, shortened, visible, visible_lines
from gymctl.results.transcript import Message, Other, Reasoning, ToolCall, ToolOutput, Transcript, read_transcript


def transcript(row: dict[str, Any]) -> Transcript:
    return read_transcript(json.dumps(row).encode())


def items(*output: Any) -> tuple[Any, ...]:
    return transcript({"response": {"output": list(output)}}).items


def test_a_rollout_in_order() -> None:
    read = transcript(result(2, 1, 0.5, accuracy=False, expected="mild"))
    assert read.prompt == (Message("user", "Question 2?"),)
    assert read.items == (
        Reasoning("The tool knows."),
        ToolCall(name="get_weather", arguments='{"city":"Oslo"}', call_id="c1", output='{"weather":"mild"}'),
        Message("assistant", "It is mild."),
    )
    assert (read.task, read.repeat, read.reward, read.agent, read.model) == (2, 1, 0.5, "weather_agent", "m")
    assert read.verifier == {"accuracy": False, "expected": "mild"}
    assert read.times == {"queue": 1.0, "model": 60.0, "tool": 10.0, "between": 32.0}


def test_a_failure_has_its_cause() -> None:
    read = transcript(failure(3))
    assert read.failure is not None
    assert (read.failure.failure_class, read.failure.hop, read.failure.path) == ("timeout", "weather", "/verify")
    assert (read.failure.status, read.failure.body) == (504, "late")
    assert read.reward is None


def test_a_masked_result_keeps_its_conversation() -> None:
    read = transcript(result(0, mask_sample=True, failure_kind="judge_failed", failure_reason="no verdict"))
    assert read.failure is not None
    assert (read.failure.failure_class, read.failure.message) == ("judge_failed", "no verdict")
    assert len(read.items) == 3


def test_instructions_are_the_systems_and_a_text_is_the_users() -> None:
    read = transcript({"responses_create_params": {"instructions": "Be brief.", "input": "Hello"}})
    assert read.prompt == (Message("system", "Be brief."), Message("user", "Hello"))


def test_chat_completions_are_read_too() -> None:
    call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert items(
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "done"}]},
        {"role": "assistant", "content": "Bye"},
    ) == (
        Reasoning("hm"),
        ToolCall(name="f", arguments="{}", call_id="x", output="done"),
        Message("assistant", "Bye"),
    )


def test_calls_and_outputs_that_do_not_fit_together() -> None:
    call = {"type": "function_call", "name": "f", "arguments": "{", "call_id": "a"}
    first = {"type": "function_call_output", "call_id": "a", "output": "1"}
    second = {"type": "function_call_output", "call_id": "a", "output": '{"error": "again"}'}
    orphan = {"type": "function_call_output", "call_id": "b", "output": None}
    assert items(call, first, second, orphan) == (
        ToolCall(name="f", arguments="{", call_id="a", output="1"),
        ToolOutput("a", '{"error": "again"}', failed=True),
        ToolOutput("b", ""),
    )
    assert items(call) == (ToolCall(name="f", arguments="{", call_id="a"),)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("plain", "plain"),
        (["a", {"type": "output_text", "text": "b"}], "a\nb"),
        ([{"type": "refusal", "refusal": "I will not."}], "I will not."),
        ([{"type": "input_image", "image_url": "data:..."}], "[input_image]"),
        ({"text": "one part"}, "one part"),
        ({"text": None, "x": 1}, '{"text":null,"x":1}'),
        (12, "12"),
        (True, "true"),
        ([None, [["deep"]]], "\ndeep"),
    ],
)
def test_content_of_any_shape_is_text(content: Any, text: str) -> None:
    assert items({"type": "message", "role": "assistant", "content": content}) == (Message("assistant", text),)


def test_items_of_other_types_are_shown_as_they_are() -> None:
    assert items("text", 3, {"type": "mcp_call", "name": "x"}) == (
        Other("str", "text"),
        Other("int", "3"),
        Other("mcp_call", '{"type":"mcp_call","name":"x"}'),
    )
    assert transcript({"response": {"output": "only text"}}).items == (Message("user", "only text"),)
    assert transcript({"response": "text"}).items == ()


def test_a_line_that_is_not_an_object_is_an_error() -> None:
    for line in (b"[1]", b"{", b""):
        with pytest.raises(GymctlError):
            read_transcript(line)


HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",
    "over\rwritten",
    "back\b\b\bspace",
    "\u202egnp.exe",
    "\u2066isolated\u2069",
    "zero\u200bwidth",
    "\ufeffmark",
    "line\u2028separator",
    "\ud800 half",
    "tag\U000e0041\U000e007f",
    "del\x7f",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_escapes(text: str) -> None:
    for output in (visible(text), visible_lines(text), shortened(text, 500), json_text({text: [text]})):
        output.encode()
        assert "\\" in output
        _assert_inert(output)


@given(st.text())
def test_no_text_keeps_a_character_that_acts_on_a_terminal(text: str) -> None:
    _assert_inert(visible(text))
    _assert_inert(visible_lines(text).replace("\n", "").replace("\t", ""))
    assert json.loads(json_text(text)) == text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == visible_lines(text) == text


def test_text_that_scripts_need_is_kept() -> None:
    for text in ("Grüße", "नमस्ते", "नमस्\u200cते", "👩\u200d👩\u200d👧", "日本語", "שלום"):
        assert visible(text) == text


@given(st.text(), st.integers(3, 50))
def test_a_shortened_text_is_no_longer_than_its_limit(text: str, limit: int) -> None:
    assert len(shortened(text, limit)) <= limit


def _assert_inert(text: str) -> None:
    for character in text:
        assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp"), ascii(text)
        assert unicodedata.bidirectional(character) not in (
            "LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI",
        ), ascii(text)  # fmt: skip
