"""A forced resume gives every result to its own row, wherever that has gone."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_stack import Agents, collected, read, row, spec_of, write_rows

from gymctl.errors import InputError
from gymctl.rollouts.rematch import new_keys

keys = st.tuples(st.integers(0, 5), st.integers(0, 2))
digests = st.dictionaries(keys, st.sampled_from([b"a", b"b", b"c"]))


@given(digests, digests)
def test_a_result_goes_to_a_row_that_is_the_same_and_no_two_to_one(
    before: dict[tuple[int, int], bytes], after: dict[tuple[int, int], bytes]
) -> None:
    moved = new_keys(before, after)
    assert len(set(moved.values())) == len(moved)
    assert all(before[old] == after[new] for old, new in moved.items())
    for digest in (b"a", b"b", b"c"):
        had = [key for key in before if before[key] == digest]
        has = [key for key in after if after[key] == digest]
        assert sum(before[key] == digest for key in moved) == min(len(had), len(has))


@pytest.mark.parametrize("change", ["first removed", "shuffled", "one added on top", "one replaced", "more repeats"])
def test_a_forced_resume_over_changed_inputs(tmp_path: Path, change: str) -> None:
    rows = [row(number) for number in range(20)]
    spec = spec_of(tmp_path, rows, num_repeats=2, limit=20)
    first = collected(spec, Agents(echo=True))
    assert first.done == 40
    options: dict[str, Any] = {}
    if change == "first removed":
        rows = rows[1:]
    elif change == "shuffled":
        random.Random(1).shuffle(rows)
    elif change == "one added on top":
        rows = [row(99), *rows]
        options["limit"] = 21
    elif change == "one replaced":
        rows[3] = row(77)
    else:
        options["num_repeats"] = 3
    write_rows(tmp_path / "rows.jsonl", rows)
    again = replace(spec, resume=True, **options)
    with pytest.raises(InputError, match="--force"):
        collected(again, Agents(echo=True))
    agents = Agents(echo=True)
    report = collected(replace(again, force=True), agents)
    results = read(spec.output)
    sent = {(item["_ng_task_index"], item["_ng_rollout_index"]): item["n"] for item in read(spec.files.materialized)}
    assert {(item["_ng_task_index"], item["_ng_rollout_index"]): item["n"] for item in results} == sent
    assert report.done == len(results) == len(sent)
    assert any("resumed although" in note for note in report.notes)
    expected_calls = {"one added on top": 2, "one replaced": 2, "more repeats": 20}
    assert len(agents.seen) == expected_calls.get(change, 0)
    assert len(read(tmp_path / "out.unmatched.jsonl")) == (2 if change in ("first removed", "one replaced") else 0)


def test_code_that_changed_is_named_and_noted_by_force(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 4, identity={"config": "c", "code": {"judge": "1", "other": "2"}})
    collected(spec, Agents())
    changed = replace(spec, resume=True, identity={"config": "c", "code": {"judge": "9", "other": "2"}})
    with pytest.raises(InputError, match="the code of judge has changed"):
        collected(changed, Agents())
    report = collected(replace(changed, force=True), Agents())
    assert any("the code of judge has changed" in note for note in report.notes)
    assert report.done == 4
