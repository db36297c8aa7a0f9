"""Token ids and log-probs come through to the bit; what does not continue is found at its turn."""

from __future__ import annotations

import json
import struct
from typing import Any

import pyarrow.parquet as pq
import pytest
from data_folder import DataFolder, read_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from run_files import answer, call, message, result, tokens, write_run

from gymctl.datasets.exports.token_row import TokenError, token_row

IDS = st.lists(st.integers(0, 2**31), max_size=5)
LOGPROB = st.floats(max_value=0.0, allow_nan=False, allow_infinity=False)
TURN = st.tuples(IDS, st.lists(st.tuples(st.integers(0, 2**31), LOGPROB), min_size=1, max_size=5))


@settings(deadline=None)
@given(st.lists(TURN, min_size=1, max_size=5))
def test_a_sequence_is_its_turns(turns: list[Any]) -> None:
    seen: list[int] = []
    output = []
    mask: list[int] = []
    scores: list[float] = []
    for number, (added, generated) in enumerate(turns):
        seen += added
        ids = [token for token, _ in generated]
        output.append(message("x", **tokens(list(seen), ids, [score for _, score in generated])))
        output.append(answer("between"))
        if number:
            mask += [0] * len(added)
            scores += [0.0] * len(added)
        mask += [1] * len(ids)
        scores += [score for _, score in generated]
        seen += ids
    row = token_row(json.loads(json.dumps(result(0, 0, output=output))))
    assert row.prompt_ids + row.completion_ids == seen
    assert row.prompt_ids == turns[0][0]
    assert row.mask == mask
    assert [struct.pack("d", value) for value in row.logprobs] == [struct.pack("d", value) for value in scores]
    generated_ids = [token for _, generated in turns for token, _ in generated]
    assert [token for token, flag in zip(row.completion_ids, row.mask, strict=True) if flag] == generated_ids


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_files_keep_every_bit(name: str, data_folder: DataFolder) -> None:
    scores = [-0.1, -1e-300, -5e-324, -0.30000000000000004, -123456.789]
    item = message("x", **tokens([1, 2**31], [3, 4, 5, 6, 7], scores))
    write_run(data_folder.path, [result(0, 0, output=[item])])
    assert data_folder.gymctl("export", "rollouts.jsonl", "--to", "verl", "--kind", "tokens", "-o", name)[0] == 0
    path = data_folder.path / name
    (row,) = pq.read_table(path).to_pylist() if name.endswith("parquet") else read_lines(path)
    assert [struct.pack("d", value) for value in row["logprobs"]] == [struct.pack("d", value) for value in scores]
    assert (row["prompt_ids"], row["completion_ids"]) == ([1, 2**31], [3, 4, 5, 6, 7])


FIRST = call("{}", **tokens([1, 2], [3, 4], [-0.1, -0.2]))
BROKEN = {
    "no tokens": ([message("x")], "no output item has generation_token_ids"),
    "another token": (
        [FIRST, message("x", **tokens([1, 2, 3, 9, 5], [6], [-1]))],
        "turn 2: token 3 of the prompt is 9, not 4 as seen before",
    ),
    "a shorter prompt": (
        [FIRST, message("x", **tokens([1, 2, 3], [6], [-1]))],
        "turn 2: the prompt has 3 tokens, fewer than the 4 seen so far",
    ),
    "too few log-probs": ([message("x", **tokens([1], [2, 3], [-1]))], "turn 1: 2 tokens with 1 log-probs"),
    "no prompt": ([message("x", generation_token_ids=[2], generation_log_probs=[-1])], "turn 1: prompt_token_ids"),
    "text ids": ([message("x", **tokens([1], ["2"], [-1]))], "turn 1: generation_token_ids"),  # type: ignore[list-item]
    "log-prob is null": ([message("x", **tokens([1], [2], [None]))], "turn 1: a log-prob"),  # type: ignore[list-item]
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_found_at_its_turn(case: str) -> None:
    output, text = BROKEN[case]
    with pytest.raises(TokenError) as error:
        token_row(result(0, 0, output=output))
    assert str(error.value).startswith(text)


def test_violations_are_listed_and_their_group_is_incomplete(data_folder: DataFolder) -> None:
    good = [message("x", **tokens([1], [2], [-1.0]))]
    broken, _ = BROKEN["another token"]
    write_run(data_folder.path, [result(0, 0, output=good), result(0, 1, output=broken), result(1, 0, output=good)])
    assert data_folder.gymctl("export", "rollouts.jsonl", "--to", "trl", "--kind", "tokens", "-o", "out.jsonl")[0] == 0
    rows = read_lines(data_folder.path / "out.jsonl")
    assert [(row["task_index"], row["group_size"], row["group_complete"]) for row in rows] == [
        (0, 2, False),
        (1, 1, True),
    ]
    content = json.loads((data_folder.path / "out.jsonl.manifest.json").read_text())
    assert content["rollouts"] == {"in": 3, "out": 2, "dropped": {"tokens_not_contiguous": 1}}
    assert content["details"] == [
        "0:1: tokens_not_contiguous: turn 2: token 3 of the prompt is 9, not 4 as seen before"
    ]
