"""Two runs: flips, what is missing, and what makes them not comparable."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from result_rows import failure, result, write

from gymctl.results import Change, Comparison, Index, Join, compare
from gymctl.results.intervals import mcnemar


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def compared(a: Path, b: Path, **options: Any) -> Comparison:
    with Index.open(a) as first, Index.open(b) as second:
        return compare(first, second, **options)


def run(path: Path, rewards: dict[int, list[float]], **extra: Any) -> Path:
    rows = [
        result(task, repeat, reward, **extra)
        for task, repeats in rewards.items()
        for repeat, reward in enumerate(repeats)
    ]  # fmt: skip
    return write(path, rows)


def test_flips_come_first_and_missing_is_not_equal(tmp_path: Path) -> None:
    a = run(tmp_path / "a.jsonl", {0: [1], 1: [0], 2: [1], 3: [0], 4: [1], 5: [1]})
    b = run(tmp_path / "b.jsonl", {0: [1], 1: [1], 2: [0], 3: [0], 6: [1]})
    (tmp_path / "b_failures.jsonl").write_text(json.dumps(failure(4, failure_class="reset")) + "\n")
    comparison = compared(a, b)
    assert [(pair.task_a, pair.change) for pair in comparison.pairs] == [
        (2, Change.DOWN),
        (1, Change.UP),
        (0, Change.SAME),
        (3, Change.SAME),
    ]
    assert [(task.task, task.reason) for task in comparison.missing_in_b] == [(4, "reset"), (5, "absent")]
    assert [(task.task, task.reason) for task in comparison.missing_in_a] == [(6, "absent")]
    assert comparison.p_value == mcnemar(1, 1) == 1.0
    assert comparison.reward is not None
    assert comparison.reward.value == 0.0


def test_the_difference_is_paired_by_task(tmp_path: Path) -> None:
    a = run(tmp_path / "a.jsonl", {0: [1, 0], 1: [0.25, 0.25], 2: [1, 1]})
    b = run(tmp_path / "b.jsonl", {0: [1, 1], 1: [0.5, 0.5], 2: [1, 1, 1, 0]})
    comparison = compared(a, b)
    differences = [0.5, 0.25, -0.25]
    assert comparison.reward is not None
    assert comparison.reward.value == pytest.approx(statistics.fmean(differences))
    assert comparison.reward.standard_error == pytest.approx(statistics.stdev(differences) / 3**0.5)
    assert [(item.name, item.a, item.b) for item in comparison.differences] == [
        ("scored rollouts per common task", "2", "2 to 4")
    ]


def test_half_of_the_rollouts_is_no_flip(tmp_path: Path) -> None:
    a = run(tmp_path / "a.jsonl", {0: [1, 0], 1: [1, 1]})
    b = run(tmp_path / "b.jsonl", {0: [0, 0], 1: [1, 0]})
    assert {pair.change for pair in compared(a, b).pairs} == {Change.SAME}


def test_other_data_under_the_same_index_is_reported(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", [result(0), result(1)])
    swapped = [
        result(0, responses_create_params=result(1)["responses_create_params"]),
        result(1, responses_create_params=result(0)["responses_create_params"], reward=0),
    ]
    b = write(tmp_path / "b.jsonl", swapped)
    by_index = compared(a, b)
    assert ("input text", "2 of 2 common tasks") in {(item.name, item.a) for item in by_index.differences}
    by_prompt = compared(a, b, join=Join.PROMPT)
    assert [(pair.task_a, pair.task_b, pair.change) for pair in by_prompt.pairs] == [
        (0, 1, Change.DOWN),
        (1, 0, Change.SAME),
    ]
    assert not by_prompt.differences


def test_the_same_input_in_another_writing_is_the_same(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", [result(0, responses_create_params={"input": "Grüße?"})])
    parts = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Grüße?"}]}]
    row = result(0, responses_create_params={"temperature": 1, "input": parts})
    (tmp_path / "b.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n")
    assert [pair.same_prompt for pair in compared(a, tmp_path / "b.jsonl").pairs] == [True]


def test_other_agents_models_and_configurations_are_reported(tmp_path: Path) -> None:
    a = run(tmp_path / "a.jsonl", {0: [1]})
    b = run(tmp_path / "b.jsonl", {0: [1]}, agent_ref={"name": "other"}, response={"model": "m2", "output": []})
    (tmp_path / "a_run.json").write_text(json.dumps({"identity": {"input": "x", "options": {"limit": None}}}))
    (tmp_path / "b_run.json").write_text(json.dumps({"identity": {"input": "x", "options": {"limit": 10}}}))
    assert [(item.name, item.a, item.b) for item in compared(a, b).differences] == [
        ("agents", "weather_agent", "other"),
        ("models", "m", "m2"),
        ("options.limit", "null", "10"),
    ]
    (tmp_path / "b_run.json").write_text("[]")
    assert compared(a, b).differences[-1].name == "run record"


def test_agents_that_share_a_task_are_compared_apart(tmp_path: Path) -> None:
    rows = [result(0, reward=1), result(0, reward=0, agent_ref={"name": "second"})]
    a = write(tmp_path / "a.jsonl", rows)
    b = write(tmp_path / "b.jsonl", rows)
    comparison = compared(a, b)
    assert {(pair.agent_a, pair.reward_a, pair.reward_b) for pair in comparison.pairs} == {
        ("weather_agent", 1.0, 1.0),
        ("second", 0.0, 0.0),
    }
    assert len(compared(a, b, agent="second").pairs) == 1


def test_runs_without_a_common_task(tmp_path: Path) -> None:
    comparison = compared(run(tmp_path / "a.jsonl", {0: [1]}), run(tmp_path / "b.jsonl", {1: [1]}))
    assert (comparison.pairs, comparison.reward, comparison.p_value) == ((), None, None)
    assert (len(comparison.missing_in_a), len(comparison.missing_in_b)) == (1, 1)
