"""A YAML scalar means here what it means to OmegaConf, which NeMo Gym loads its files with."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from gymctl.config.diagnostics import Location
from gymctl.config.sources.yaml_documents import parse_document

SCALARS = (
    "1 -1 +1 007 0o17 0x1F 0b11 1_000 1e3 1E-3 -1.5e+3 1. .5 1.e5 .5e3 .5e+3 1_0.5 .inf -.Inf .nan 1:30 1:30.5 "
    "2024-01-01 12:30:00 ~ null Null none yes No on OFF true False y n = 1.2.3 1a 'q' \"d\" <<x !x a#b &a "
).split()


@pytest.mark.parametrize("text", SCALARS)
def test_a_scalar(text: str) -> None:
    assert _ours(f"k: {text}\n") == _theirs(f"k: {text}\n")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="0123456789.eE+-_:xobinfaNnultrs~", min_size=1, max_size=7))
@example("0_E0")
@example("1__0.5")
@example("1:3_0")
def test_any_scalar(text: str) -> None:
    assert _ours(f"k: [{text}]\n") == _theirs(f"k: [{text}]\n")


def _ours(text: str) -> str:
    try:
        return repr(parse_document(text, "f").data)
    except Exception as error:  # noqa: BLE001 - whichever way it is refused
        return "refused" if error else ""


def _theirs(text: str) -> str:
    try:
        return repr(OmegaConf.to_container(OmegaConf.create(text)))
    except Exception as error:  # noqa: BLE001 - whichever way it is refused
        return "refused" if error else ""


def test_anchors_and_merge_keys_are_filled_in_and_kept_apart() -> None:
    document = parse_document("a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3\nc: *x\n1: one\n", "f.yaml")
    assert document.data == {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}, "c": {"p": 1, "q": 2}, 1: "one"}
    assert document.marks["b", "q"] == Location("f.yaml", 4, 3)
    assert document.marks[1,] == Location("f.yaml", 6, 1)
