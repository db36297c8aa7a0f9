"""Whose result a reply is, is never decided by the reply."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.rollouts.history import ResultHead, lines_of
from gymctl.rollouts.result_line import NotAResultError, result_line

IDENTITY: dict[str, Any] = {"_ng_task_index": 3, "_ng_rollout_index": 1, "agent_ref": {"name": "alpha"}}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 5) | st.floats(0, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*IDENTITY, "_gymctl_timing", "n"]), json_values), st.booleans())
def test_a_line_has_the_collectors_identity_once(reply: dict[str, Any], timed: bool) -> None:
    identity = {**IDENTITY, **({"_gymctl_timing": {"tries": 1}} if timed else {})}
    line, reward, _ = result_line(orjson.dumps({**reply, "reward": 0.5}), identity, "alpha")
    pairs = json.loads(line, object_pairs_hook=lambda pairs: pairs)
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names))
    result = json.loads(line)
    for name, value in identity.items():
        assert json.dumps(result[name]) == json.dumps(value)
    assert reward == result["reward"] == 0.5
    assert result.get("n") == reply.get("n")


@pytest.mark.parametrize("index", ["3.0", '"3"', "true", "4", "[3]", "3e0", "123456789012345678901234567890"])
def test_no_number_changes_when_an_identity_is_replaced(index: str, tmp_path: Any) -> None:
    body = b'{"answer":123456789012345678901234567890.10,\n"reward":1,"_ng_task_index":%b}' % index.encode()
    line, *_ = result_line(body, IDENTITY, "alpha")
    assert b"\n" not in line
    assert b"123456789012345678901234567890.10" in line
    (tmp_path / "out.jsonl").write_bytes(line + b"\n")
    ((_, head),) = lines_of(tmp_path / "out.jsonl", ResultHead)
    assert head is not None
    assert head.key == (3, 1)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"reward":true}', "no finite reward"),
        (b'{"reward":false}', "no finite reward"),
        (b'{"reward":1,"x":NaN}', "NaN at column 17"),
        (b'{"reward":1,"x":' + b"[" * 3000 + b"]" * 3000 + b"}", "nested too deeply"),
        (b'{"reward":1', "something other than a JSON object"),
    ],
)
def test_what_is_not_a_result_is_a_failure_that_names_the_fault(body: bytes, problem: str) -> None:
    with pytest.raises(NotAResultError, match=problem) as caught:
        result_line(body, IDENTITY, "alpha")
    assert caught.value.failure.failure_class == "bad_reply"


def test_a_reply_with_half_of_a_surrogate_pair_is_a_result() -> None:
    line, reward, _ = result_line(b'{"reward":1,"x":"\\ud800","y":"\xc3\xa9","n":1.10}', IDENTITY, "alpha")
    assert (reward, json.loads(line)["x"], json.loads(line)["y"]) == (1.0, "\ufffd", "\u00e9")
    assert b'"n":1.10' in line
