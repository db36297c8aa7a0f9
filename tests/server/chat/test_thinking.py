"""``<think>`` in a text."""

from __future__ import annotations

import pytest

from gymctl.server.chat import fold_reasoning, reasoning_of, split_thinking, wrap_thinking


@pytest.mark.parametrize(
    ("text", "thoughts", "rest"),
    [
        ("", [], ""),
        ("plain", [], "plain"),
        ("before<think>why</think>after", ["why"], "beforeafter"),
        ("a<think>x</think>b<think>y</think>c", ["x", "y"], "abc"),
        ("<think></think>a", [""], "a"),
        ("<think>two\nlines</think>", ["two\nlines"], ""),
        ("<think>open", [], "<think>open"),
        ("closed</think>", [], "closed</think>"),
        ("<think>x<think>y</think>z</think>", ["x<think>y"], "z</think>"),
    ],
)
def test_split(text: str, thoughts: list[str], rest: str) -> None:
    assert split_thinking(text) == (thoughts, rest)


def test_wrap() -> None:
    assert wrap_thinking(["x", "", "y"]) == "<think>x</think><think>y</think>"


def test_fields_of_a_parser() -> None:
    for fields in (
        {"reasoning": "why"},
        {"reasoning_content": "why"},
        {"reasoning": "why", "reasoning_content": "why"},
    ):
        message = {"role": "assistant", "content": None, **fields}
        assert reasoning_of(message) == "why"
        fold_reasoning(message)
        assert message == {"role": "assistant", "content": "<think>why</think>"}
    message = {"role": "assistant", "content": "a", "reasoning": None}
    fold_reasoning(message)
    assert message == {"role": "assistant", "content": "a"}
