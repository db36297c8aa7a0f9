"""Rows are split, mixed and sampled the same way each time, and a row's place does not depend on the others."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from data_folder import DataFolder, read_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from run_files import failure, result, write_run

from gymctl.datasets.row_ranks import _rounded_shares, rank_of


def task(number: int, agent: str = "a", **more: Any) -> dict[str, Any]:
    """A row."""
    return {"responses_create_params": {"input": f"q{number}"}, "agent_ref": {"name": agent}, **more}


def split(folder: DataFolder, *options: str) -> dict[str, set[str]]:
    """The questions of each file."""
    code, _, err = folder.gymctl("data", "split", "rows.jsonl", "-o", "parts", *options)
    assert code == 0, err
    return {
        path.stem: {row["responses_create_params"]["input"] for row in read_lines(path)}
        for path in (folder.path / "parts").glob("*.jsonl")
    }


def test_a_row_stays_in_its_part_when_others_come(data_folder: DataFolder) -> None:
    data_folder.rows("rows.jsonl", *(task(number) for number in range(200)))
    before = split(data_folder)
    assert sum(map(len, before.values())) == 200
    assert 5 <= len(before["validation"]) <= 40
    data_folder.rows("rows.jsonl", *(task(number) for number in reversed(range(400))))
    after = split(data_folder)
    assert before["train"] <= after["train"]
    assert before["validation"] <= after["validation"]
    assert split(data_folder, "--seed", "1") != after


def test_the_same_task_is_in_one_part(data_folder: DataFolder) -> None:
    data_folder.rows("rows.jsonl", *(task(number % 50, note=number) for number in range(500)))
    parts = split(data_folder, "--share", "a=0.5", "--share", "b=0.3", "--share", "c=0.2")
    assert sum(map(len, parts.values())) == 50


def test_rows_of_one_topic_stay_together(data_folder: DataFolder) -> None:
    data_folder.rows("rows.jsonl", *(task(number, topic=number % 7) for number in range(200)))
    split(data_folder, "--share", "a=0.5", "--share", "b=0.5", "--by", "topic")
    topics = [{row["topic"] for row in read_lines(data_folder.path / f"parts/{name}.jsonl")} for name in "ab"]
    assert not topics[0] & topics[1]


def test_weights_decide_how_many_rows_an_agent_has(data_folder: DataFolder) -> None:
    data_folder.rows("x.jsonl", *(task(number, "a") for number in range(100)))
    data_folder.rows("y.jsonl", *(task(number, "b") for number in range(100, 400)))
    code, _, _ = data_folder.gymctl("data", "mix", "x.jsonl", "y.jsonl", "-o", "out.jsonl", "--weight", "b=3")
    assert code == 0
    rows = read_lines(data_folder.path / "out.jsonl")
    assert Counter(row["agent_ref"]["name"] for row in rows) == {"a": 100, "b": 300}
    first = {row["agent_ref"]["name"] for row in rows[:30]}
    assert first == {"a", "b"}
    data_folder.gymctl("data", "mix", "y.jsonl", "x.jsonl", "-o", "again.jsonl", "--weight", "b=3")
    assert (data_folder.path / "again.jsonl").read_bytes() == (data_folder.path / "out.jsonl").read_bytes()


def test_few_rows_are_repeated_only_when_asked(data_folder: DataFolder) -> None:
    data_folder.rows("x.jsonl", *(task(number, "a") for number in range(3)), task(9, "b"))
    mix = ["data", "mix", "x.jsonl", "-o", "out.jsonl", "--rows", "10"]
    code, _, err = data_folder.gymctl(*mix)
    assert code == 2
    assert "too few rows: a 5 (it has 3), b 5 (it has 1); ask for fewer with --rows, or add --repeat" in err
    assert data_folder.gymctl(*mix, "--repeat")[0] == 0
    rows = read_lines(data_folder.path / "out.jsonl")
    counts = Counter(row["responses_create_params"]["input"] for row in rows)
    assert counts["q9"] == 5
    assert sorted(counts[f"q{number}"] for number in range(3)) == [1, 2, 2]


def test_a_sample_keeps_the_order_and_grows_with_its_size(data_folder: DataFolder) -> None:
    data_folder.rows("rows.jsonl", *(task(number) for number in range(100)))
    samples = []
    for count in ("10", "20", "500"):
        assert data_folder.gymctl("data", "sample", "rows.jsonl", "-n", count, "-o", "out.jsonl")[0] == 0
        samples.append(
            [int(row["responses_create_params"]["input"][1:]) for row in read_lines(data_folder.path / "out.jsonl")]
        )
    assert all(numbers == sorted(numbers) for numbers in samples)
    assert set(samples[0]) < set(samples[1])
    assert samples[2] == list(range(100))


def test_a_curriculum_of_a_finished_run(data_folder: DataFolder) -> None:
    rewards = {0: (1.0, 1.0), 1: (1.0, 0.0), 2: (0.0, 0.0), 3: (1.0,)}
    results = [result(number, i, reward) for number, row in rewards.items() for i, reward in enumerate(row)]
    keys = [(number, i) for number in range(4) for i in range(2)]
    write_run(data_folder.path, results, [failure(3, 1)], keys)
    options = ["--min-pass-rate", "0.1", "--max-pass-rate", "0.9", "-o", "next.jsonl"]
    code, out, _ = data_folder.gymctl("data", "sample", "--from-run", "rollouts.jsonl", *options)
    assert (code, out) == (0, "1 of 4 tasks -> next.jsonl\n")
    (row,) = read_lines(data_folder.path / "next.jsonl")
    assert row == {**row, "expected_answer": "1"}
    assert not any(key.startswith("_ng_") for key in row)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["split", "rows.jsonl", "-o", "p", "--share", "a=0.5"], "the shares add up to 0.5"),
        (["split", "rows.jsonl", "-o", "p", "--share", "a"], "invalid --share 'a'; expected NAME=NUMBER"),
        (["split", "rows.jsonl", "-o", "p", "--by", "topic"], "rows.jsonl:1: the row has no column 'topic'"),
        (["mix", "rows.jsonl", "-o", "p", "--weight", "zz=1"], "no rows of zz; the rows are of a"),
        (["mix", "rows.jsonl", "-o", "p", "--weight", "a=0"], "all weights are 0"),
        (["sample", "rows.jsonl", "-o", "p"], "--rows is missing"),
        (["sample", "-o", "p"], "specify either ROWS or --from-run"),
        (["sample", "bad.jsonl", "-n", "1", "-o", "p"], "bad.jsonl:2: not JSON"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments: list[str], message: str, data_folder: DataFolder) -> None:
    data_folder.rows("rows.jsonl", task(0))
    data_folder.write("bad.jsonl", f"{json.dumps(task(0))}\nnot a row\n")
    before = data_folder.files()
    code, _, err = data_folder.gymctl("data", *arguments)
    assert code == 2
    assert message in err
    assert data_folder.files() == before


@settings(deadline=None)
@given(st.integers(0, 10_000), st.dictionaries(st.text(max_size=2), st.floats(0.01, 100), min_size=1, max_size=6))
def test_shares_are_rounded_to_a_whole_that_adds_up(rows: int, shares: dict[str, float]) -> None:
    counts = _rounded_shares(rows, shares)
    assert sum(counts.values()) == rows
    total = sum(shares.values())
    assert all(abs(counts[name] - rows * share / total) < 1 + 1e-6 for name, share in shares.items())


def test_the_order_of_keys_does_not_move_a_row() -> None:
    one = {"responses_create_params": {"input": "x", "model": "m"}, "note": 1}
    other = {"note": 2, "responses_create_params": {"model": "m", "input": "x"}}
    assert rank_of(one, 0) == rank_of(other, 0)
    assert rank_of(one, 0) != rank_of(one, 1)
    assert 0 <= rank_of(one, -1) < 2**64
