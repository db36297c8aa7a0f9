"""Exports hold every usable rollout once, in the form of the trainer, and the manifest accounts for the others."""

from __future__ import annotations

import csv
import gzip
import json
import statistics
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from data_folder import DataFolder, read_lines
from run_files import TOOL, answer, call, failure, message, result, thought, tokens, write_run

from gymctl.datasets.options import KINDS, ExportTarget, Kind

WITH_TOOL = [thought("Hm."), call('{"city": "Rome"}'), answer("sunny"), message("It is sunny.")]


def export(folder: DataFolder, *options: str, output: str = "out.jsonl") -> list[dict[str, Any]]:
    """The exported rows."""
    code, _, err = folder.gymctl("export", "rollouts.jsonl", "-o", output, *options)
    assert code == 0, err
    path = folder.path / output
    return pq.read_table(path).to_pylist() if path.suffix == ".parquet" else read_lines(path)


def manifest(folder: DataFolder, output: str = "out.jsonl") -> dict[str, Any]:
    """The manifest; what went in is what came out and what was dropped."""
    content: dict[str, Any] = json.loads((folder.path / f"{output}.manifest.json").read_text())
    counts = content["rollouts"]
    assert counts["in"] == counts["out"] + sum(counts["dropped"].values())
    return content


def test_supervised_rows_of_nemo_rl(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0, output=WITH_TOOL, params={"tools": [TOOL]})])
    (row,) = export(data_folder, "--to", "nemo-rl")
    assert row["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Question 0?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "Hm.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": {"city": "Rome"}}}
            ],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
        {"role": "assistant", "content": "It is sunny."},
    ]
    function = {key: TOOL[key] for key in ("name", "description", "parameters")}
    assert row["tools"] == [{"type": "function", "function": function}]


@pytest.mark.parametrize(
    ("reasoning", "content", "field"), [("field", "", "Hm."), ("think", "<think>Hm.</think>", None), ("drop", "", None)]
)
def test_where_reasoning_goes(reasoning: str, content: str, field: str | None, data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0, output=WITH_TOOL)])
    (row,) = export(data_folder, "--to", "trl", "--reasoning", reasoning)
    turn = row["messages"][2]
    assert (turn["content"], turn.get("reasoning_content")) == (content, field)


def test_arguments_are_text_for_openai(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0, output=WITH_TOOL)])
    (row,) = export(data_folder, "--to", "openai")
    assert row["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"city": "Rome"}'


def test_instructions_and_developer_become_one_system_message(data_folder: DataFolder) -> None:
    params = {
        "instructions": "First.",
        "input": [{"role": "developer", "content": "Then."}, {"role": "user", "content": "x"}],
    }
    write_run(data_folder.path, [result(0, 0, params=params)])
    (row,) = export(data_folder, "--to", "trl")
    assert row["messages"][0] == {"role": "system", "content": "First.\n\nThen."}
    (row,) = export(data_folder, "--to", "openai")
    assert row["messages"][0] == {"role": "developer", "content": "First.\n\nThen."}


UNUSABLE = {
    "failed": failure(0, 1),
    "masked": result(0, 1, 0.0, mask_sample=True),
    "masked by its instance": result(0, 1, 0.0, instance_config={"mask_sample": True}),
    "failure kind": result(0, 1, 0.0, failure_kind="judge_failed"),
    "no reward": result(0, 1, None),
    "reward is true": result(0, 1, True),
    "response failed": result(0, 1, 0.0, response={"status": "failed"}),
}


@pytest.mark.parametrize("case", UNUSABLE)
@pytest.mark.parametrize(
    ("target", "kind"), [(target, kind) for target in ExportTarget for kind in KINDS[target] or (None,)]
)
def test_what_has_no_reward_is_in_no_export(
    case: str, target: ExportTarget, kind: Kind | None, data_folder: DataFolder
) -> None:
    good = [
        result(task, repeat, float(repeat != 1), [message("Yes", **tokens([1, 2], [3], [-0.5]))])
        for task in (0, 1)
        for repeat in (0, 2)
    ]
    good[1]["reward"] = 0.0
    good[3]["reward"] = 0.0
    bad = UNUSABLE[case]
    is_failure = "_ng_failure_class" in bad
    write_run(
        data_folder.path,
        good if is_failure else [*good, bad],
        [bad] if is_failure else [],
        [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)],
    )
    output = {ExportTarget.ATIF: "out", ExportTarget.PARQUET: "out.parquet", ExportTarget.CSV: "out.csv"}.get(
        target, "out.jsonl"
    )
    kinds = ["--kind", kind.value] if kind else []
    code, _, err = data_folder.gymctl("export", "rollouts.jsonl", "--to", target.value, "-o", output, *kinds)
    assert code == 0, err
    content = manifest(data_folder, output)
    assert (content["rollouts"]["in"], content["rollouts"]["out"]) == (5, 4)
    assert content["tasks"] == {"in": 2, "complete": 1, "incomplete": [0]}


def test_an_outage_changes_neither_mean_nor_deviation_of_a_group(data_folder: DataFolder) -> None:
    def run(task: int, repeat: int, reward: float) -> dict[str, Any]:
        return result(task, repeat, reward, [message("x", **tokens([1], [2], [-0.1]))])

    whole = [run(task, repeat, reward) for task in range(3) for repeat, reward in enumerate((0.0, 1.0, 1.0, 0.25))]
    keys = [(row["_ng_task_index"], row["_ng_rollout_index"]) for row in whole]
    write_run(data_folder.path, whole, expected=keys)
    before = groups(export(data_folder, "--to", "trl", "--kind", "tokens"))
    lost = {(0, 0), (0, 1), (1, 3)}
    rest = [row for row, key in zip(whole, keys, strict=True) if key not in lost]
    write_run(data_folder.path, rest, [failure(*key) for key in sorted(lost)[:2]], expected=keys)
    rows = export(data_folder, "--to", "trl", "--kind", "tokens")
    after = groups(rows)
    assert after[2] == before[2]
    assert {row["task_index"] for row in rows if row["group_complete"]} == {2}
    assert after[0] == (statistics.mean([1.0, 0.25]), statistics.stdev([1.0, 0.25]))
    assert after[1] == (statistics.mean([0.0, 1.0, 1.0]), statistics.stdev([0.0, 1.0, 1.0]))
    complete = export(data_folder, "--to", "trl", "--kind", "tokens", "--complete-groups")
    assert groups(complete) == {2: before[2]}
    assert manifest(data_folder)["rollouts"]["dropped"] == {"failed": 2, "incomplete_group": 5, "missing": 1}


def groups(rows: list[dict[str, Any]]) -> dict[int, tuple[float, float]]:
    """Mean and deviation of the rewards of each task."""
    rewards: dict[int, list[float]] = {}
    for row in rows:
        rewards.setdefault(row["task_index"], []).append(row["reward"])
    return {task: (statistics.mean(values), statistics.stdev(values)) for task, values in rewards.items()}


def test_answers_that_were_cut_short_are_not_taught(data_folder: DataFolder) -> None:
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    item = message("x", **tokens([1], [2], [-0.1]))
    write_run(data_folder.path, [result(0, 0), result(1, 0, response=cut, output=[item])])
    assert len(export(data_folder, "--to", "trl")) == 1
    assert manifest(data_folder)["rollouts"]["dropped"] == {"incomplete_response": 1}
    (row,) = export(data_folder, "--to", "trl", "--kind", "tokens")
    assert row["task_index"] == 1


def test_a_trajectory_that_does_not_end_with_an_answer_is_not_taught(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0), result(0, 1, output=[call("{}"), answer("x")])])
    assert len(export(data_folder, "--to", "trl")) == 1
    content = manifest(data_folder)
    assert content["rollouts"]["dropped"] == {"no_answer": 1}
    assert content["details"] == ["0:1: no_answer: the last message is not an answer of the assistant"]


def test_filters_by_reward_and_the_best_of_each_task(data_folder: DataFolder) -> None:
    rewards = {0: (0.1, 0.9, 0.9), 1: (0.0, 0.0, 0.2)}
    write_run(
        data_folder.path, [result(task, i, reward) for task, row in rewards.items() for i, reward in enumerate(row)]
    )
    export(data_folder, "--to", "trl", "--min-reward", "0.15", "--max-reward", "0.9", "--best", "1")
    texts = [row["messages"][-1]["content"] for row in read_lines(data_folder.path / "out.jsonl")]
    assert texts == ["Answer 0:1", "Answer 1:2"]
    assert manifest(data_folder)["rollouts"]["dropped"] == {"not_best": 1, "reward_out_of_range": 3}
    rows = export(data_folder, "--to", "trl", "--kind", "kto", "--max-pass-rate", "0.5", "--threshold", "0.15")
    assert [row["label"] for row in rows] == [False, False, True]


def test_the_best_that_can_be_taught_is_kept(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0, 0.5), result(0, 1, 1.0, output=[call("{}")])])
    (row,) = export(data_folder, "--to", "trl", "--best", "1")
    assert row["messages"][-1]["content"] == "Answer 0:0"


def test_pairs_by_margin(data_folder: DataFolder) -> None:
    rewards = {0: (0.0, 1.0, 0.6), 1: (0.5, 0.55), 2: (1.0,)}
    write_run(
        data_folder.path, [result(task, i, reward) for task, row in rewards.items() for i, reward in enumerate(row)]
    )
    (row,) = export(data_folder, "--to", "nemo-rl", "--kind", "dpo")
    assert [item["completion"][0]["content"] for item in row["completions"]] == ["Answer 0:1", "Answer 0:0"]
    assert [item["rank"] for item in row["completions"]] == [0, 1]
    assert manifest(data_folder)["rollouts"]["dropped"] == {"no_pair": 4}
    rows = export(data_folder, "--to", "trl", "--kind", "dpo", "--pairs", "9", "--margin", "0.05")
    assert [(row["chosen"][0]["content"][-3:], row["rejected"][0]["content"][-3:]) for row in rows] == [
        ("0:1", "0:0"),
        ("0:2", "0:0"),
        ("0:1", "0:2"),
        ("1:1", "1:0"),
    ]
    assert rows[0]["prompt"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Question 0?"}]


def test_a_preference_of_openai_is_one_message(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0, 0.0), result(0, 1, 1.0, output=WITH_TOOL), result(0, 2, 0.8)])
    (row,) = export(data_folder, "--to", "openai", "--kind", "dpo")
    assert row["preferred_output"] == [{"role": "assistant", "content": "Answer 0:2"}]
    assert manifest(data_folder)["rollouts"]["dropped"] == {"tool_calls": 1}


def test_tasks_for_grpo(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(task, repeat, float(repeat)) for task in (0, 1) for repeat in (0, 1)])
    rows = export(data_folder, "--to", "nemo-rl", "--kind", "grpo")
    assert [row["expected_answer"] for row in rows] == ["0", "1"]
    assert all(row["agent_ref"] == {"name": "agent"} and "_ng_task_index" not in row for row in rows)
    rows = export(data_folder, "--to", "trl", "--kind", "grpo")
    assert [row["prompt"][-1]["content"] for row in rows] == ["Question 0?", "Question 1?"]
    rows = export(data_folder, "--to", "verl", "--kind", "grpo", output="out.parquet")
    assert [row["extra_info"]["pass_rate"] for row in rows] == [0.5, 0.5]
    assert json.loads(rows[1]["reward_model"]["ground_truth"])["expected_answer"] == "1"


def test_tables(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0, 0.5, WITH_TOOL), result(1, 0, -1.0)])
    (first, second) = export(data_folder, "--to", "parquet", output="out.parquet")
    assert (first["question"], first["answer"], first["tool_calls"], first["reward"]) == (
        "Question 0?",
        "It is sunny.",
        1,
        0.5,
    )
    assert json.loads(second["messages"])[-1]["content"] == "Answer 1:0"
    data_folder.gymctl("export", "rollouts.jsonl", "--to", "csv", "-o", "out.csv")
    with (data_folder.path / "out.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [(row["reward"], row["output_tokens"]) for row in rows] == [("0.5", "7"), ("-1.0", "7")]


def test_supervised_parquet_for_verl(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0, output=WITH_TOOL, params={"tools": [TOOL]}), result(1, 0)])
    rows = export(data_folder, "--to", "verl", output="out.parquet")
    assert json.loads(rows[0]["messages"][2]["tool_calls"][0]["function"]["arguments"]) == {"city": "Rome"}
    assert json.loads(rows[0]["tools"])[0]["function"]["name"] == "look_up"
    assert json.loads(rows[1]["tools"]) == []


def test_trajectories(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(3, 1, 0.5, WITH_TOOL)])
    assert data_folder.gymctl("export", "rollouts.jsonl", "--to", "atif", "-o", "out")[0] == 0
    content = json.loads((data_folder.path / "out/rollouts-3-1.json").read_text())
    assert content["schema_version"] == "ATIF-v1.7"
    assert [step["source"] for step in content["steps"]] == ["system", "user", "agent", "agent"]
    assert content["steps"][2]["observation"]["results"] == [{"content": "sunny", "source_call_id": "c1"}]
    assert content["steps"][2]["tool_calls"][0]["arguments"] == {"city": "Rome"}
    assert content["extra"]["reward"] == 0.5


def test_trajectories_have_the_tokens_of_each_call(data_folder: DataFolder) -> None:
    first = call('{"city": "Rome"}', **tokens([1, 2], [3, 4], [-0.1, -0.30000000000000004]))
    last = message("It is sunny.", **tokens([1, 2, 3, 4, 5], [6], [-1e-300]))
    write_run(data_folder.path, [result(0, 0, output=[first, answer("sunny"), last])])
    assert data_folder.gymctl("export", "rollouts.jsonl", "--to", "atif", "-o", "out")[0] == 0
    steps = json.loads((data_folder.path / "out/rollouts-0-0.json").read_text())["steps"]
    token_metrics = [(step["metrics"]["completion_token_ids"], step["metrics"]["logprobs"]) for step in steps[2:]]
    assert token_metrics == [([3, 4], [-0.1, -0.30000000000000004]), ([6], [-1e-300])]
    assert steps[3]["metrics"]["prompt_token_ids"] == [1, 2, 3, 4, 5]


def test_a_torn_last_line_and_a_second_result_are_left_out(data_folder: DataFolder) -> None:
    path = write_run(data_folder.path, [result(0, 0), result(0, 0, 0.0)])
    with path.open("a") as text:
        text.write('{"responses_create_params": {"inp')
    assert len(export(data_folder, "--to", "trl")) == 1
    assert manifest(data_folder)["rollouts"]["dropped"] == {"duplicate": 1, "unreadable": 1}


@pytest.mark.parametrize(
    ("options", "message_text"),
    [
        (["--to", "openai", "--kind", "kto"], "openai has no kind 'kto'; it has sft, dpo"),
        (["--to", "csv", "--kind", "sft"], "csv has no kind 'sft'; omit --kind"),
        (["--to", "trl", "--min-reward", "9"], "rollouts.jsonl: nothing to export: 1 reward_out_of_range"),
        (["--to", "trl", "--kind", "tokens"], "rollouts.jsonl: nothing to export: 1 no_tokens"),
        (
            ["--to", "trl", "-o", "x.parquet"],
            "x.parquet: trl sft is written as JSON lines; use a name that ends in .jsonl",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused(options: list[str], message_text: str, data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0)])
    before = data_folder.files()
    code, _, err = data_folder.gymctl("export", "rollouts.jsonl", *options)
    assert code == 2
    assert message_text in err
    assert data_folder.files() == before


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "rollouts.jsonl: no rollouts; name the output of gymctl collect"),
        (b'{"x": 1}\n', "rollouts.jsonl:1: "),
        (gzip.compress(b"{}", mtime=0), "rollouts.jsonl: the file is compressed; decompress it"),
    ],
)
def test_a_file_without_rollouts_is_refused(content: bytes, text: str, data_folder: DataFolder) -> None:
    data_folder.write("rollouts.jsonl", content)
    code, _, err = data_folder.gymctl("export", "rollouts.jsonl", "--to", "trl")
    assert code == 2
    assert f"error: {text}" in err


@pytest.mark.parametrize(("name", "text"), [(".", ".: is a directory"), ("gone.jsonl", "gone.jsonl: no such file")])
def test_what_is_no_file_is_refused(name: str, text: str, data_folder: DataFolder) -> None:
    code, _, err = data_folder.gymctl("export", name, "--to", "trl")
    assert (code, text in err) == (2, True)


def test_trajectories_of_another_export_are_not_mixed_in(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0)])
    data_folder.write("out/old.json", "{}")
    code, _, err = data_folder.gymctl("export", "rollouts.jsonl", "--to", "atif", "-o", "out")
    assert code == 2
    assert "out: exists and is not an empty directory; choose another directory, or remove it" in err


def test_the_manifest_names_the_run_and_digests(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0)])
    data_folder.write("rollouts_run.json", '{"started": "today"}')
    export(data_folder, "--to", "trl")
    content = manifest(data_folder)
    assert content["source"]["run"] == {"started": "today"}
    assert set(content["files"]) == {"out.jsonl"}
    assert all(len(digest) == 64 for digest in content["files"].values())


def test_the_default_output_is_next_to_the_rollouts(data_folder: DataFolder) -> None:
    write_run(data_folder.path, [result(0, 0)])
    assert data_folder.gymctl("export", "rollouts.jsonl", "--to", "verl")[0] == 0
    assert data_folder.gymctl("export", "rollouts.jsonl", "--to", "nemo-rl", "--kind", "grpo")[0] == 0
    names = {Path(name).name for name in data_folder.files()}
    assert {"rollouts_verl_sft.parquet", "rollouts_nemo_rl_grpo.jsonl"} <= names
