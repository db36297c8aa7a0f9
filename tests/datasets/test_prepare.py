"""Prepared files are NeMo Gym's to the byte, appear together or not at all, and carry what routes a row."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from data_folder import ROW, DataFolder

RECORDED = Path(__file__).parent / "nemo_gym"


@pytest.mark.parametrize("release", ["0.4", "0.6", "0.7"])
def test_the_files_are_those_that_nemo_gym_wrote(release: str, data_folder: DataFolder) -> None:
    shutil.copytree(RECORDED / "input", data_folder.path, dirs_exist_ok=True)
    options = ["--like", release, "--invalid", "keep", "--sidecars"]
    code, _, _ = data_folder.gymctl("data", "prepare", "cfg.yaml", "--mode", "train_preparation", "-o", "out", *options)
    assert code == 0
    theirs = RECORDED / f"{release}.0"
    names = [path.relative_to(theirs) for path in theirs.rglob("*") if path.is_file()]
    assert len(names) == 14
    different = [str(name) for name in names if (data_folder.path / name).read_bytes() != (theirs / name).read_bytes()]
    assert different == []


@pytest.mark.parametrize("case", ["141", "219"])
def test_figures_that_lie_between_two_roundings_fall_the_same_way(case: str, data_folder: DataFolder) -> None:
    recorded = RECORDED.with_name("nemo_gym_rounding") / case
    shutil.copytree(recorded / "input", data_folder.path, dirs_exist_ok=True)
    options = ["--mode", "train_preparation", "-o", "out", "--like", "0.4", "--invalid", "keep", "--sidecars"]
    assert data_folder.gymctl("data", "prepare", "c.yaml", *options)[0] == 0
    names = [path.relative_to(recorded / "0.4.0") for path in (recorded / "0.4.0").rglob("*") if path.is_file()]
    assert len(names) == 6
    theirs = {str(name): (recorded / "0.4.0" / name).read_text() for name in names}
    assert {str(name): (data_folder.path / name).read_text() for name in names} == theirs


def test_rows_for_all_releases_have_both_keys(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", {**ROW, "agent_ref": {"name": "other"}, "note": 1})
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl", "num_repeats": 2})
    code, out, _ = data_folder.prepare()
    assert code == 0
    assert "train: 2 rows from 1 data sets -> out/train.jsonl" in out
    row = {
        **ROW,
        "agent_ref": {"type": "responses_api_agents", "name": "agent"},
        "note": 1,
        "task_source": "agent",
    }
    assert [list(item.items()) for item in data_folder.prepared()] == [list(row.items())] * 2


def test_a_data_set_of_a_resources_server_goes_to_the_agent_that_uses_it(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", ROW)
    entry = {"name": "a", "type": "train", "jsonl_fpath": "a.jsonl", "license": "MIT"}
    data_folder.declare(env={"resources_servers": {"example_single_tool_call": {"datasets": [entry]}}})
    assert data_folder.prepare()[0] == 0
    (row,) = data_folder.prepared()
    assert (row["agent_ref"]["name"], row["task_source"]) == ("agent", "env")


def test_what_only_serving_needs_does_not_matter(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", ROW)
    judge = {"responses_api_models": {"openai_model": {"entrypoint": "???", "openai_api_key": "${nowhere.key}"}}}
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"}, judge=judge)
    assert data_folder.prepare()[0] == 0


def test_one_file_of_two_agents_goes_to_each(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", ROW)
    entry = {"name": "a", "type": "train", "jsonl_fpath": "a.jsonl", "license": "MIT"}
    other = {"responses_api_agents": {"simple_agent": {"datasets": [{**entry, "num_repeats": 2}]}}}
    data_folder.declare(entry, other=other)
    assert data_folder.prepare("--sidecars")[0] == 0
    assert [row["agent_ref"]["name"] for row in data_folder.prepared()] == ["agent", "other", "other"]
    assert {"a_prepare.jsonl", "a_prepare.other.jsonl", "a_metrics.json", "a_metrics.other.json"} <= data_folder.files()


def test_nothing_is_written_when_a_row_is_wrong(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", ROW)
    data_folder.rows("b.jsonl", ROW, {"no": "params"})
    data_folder.declare(
        {"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"},
        {"name": "b", "type": "validation", "jsonl_fpath": "b.jsonl"},
    )
    before = data_folder.files()
    code, _, err = data_folder.prepare("--sidecars")
    assert code == 2
    assert err.startswith("error: b.jsonl:2: responses_create_params is missing")
    assert data_folder.files() == before
    assert not (data_folder.path / "out").exists()


def test_an_earlier_preparation_stays_when_the_next_one_is_refused(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", ROW)
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"})
    assert data_folder.prepare()[0] == 0
    before = {path: path.read_bytes() for path in (data_folder.path / "out").iterdir()}
    data_folder.write("a.jsonl", "{")
    assert data_folder.prepare()[0] == 2
    assert {path: path.read_bytes() for path in (data_folder.path / "out").iterdir()} == before


def test_invalid_rows_are_dropped_and_counted(data_folder: DataFolder) -> None:
    data_folder.write("a.jsonl", f"{json.dumps(ROW)}\n\n[1]\n{{bad\n" + '{"responses_create_params": 1}\n')
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"})
    code, out, err = data_folder.prepare("--invalid", "drop")
    assert code == 0
    assert "1 rows from 1 data sets, 3 invalid rows" in out
    assert [line.split(" ", 2)[1] for line in err.splitlines()] == ["a.jsonl:3:", "a.jsonl:4:", "a.jsonl:5:"]
    assert len(data_folder.prepared()) == 1


def test_keep_ships_rows_that_are_objects_only(data_folder: DataFolder) -> None:
    data_folder.write("a.jsonl", '{"x": 1}\n[1]\n')
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"})
    code, _, err = data_folder.prepare("--invalid", "keep")
    assert code == 2
    assert "a.jsonl:2: the row is a list; it must be an object" in err


def test_data_that_changed_may_have_other_metrics(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", ROW)
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"})
    assert data_folder.prepare()[0] == 0
    data_folder.rows("a.jsonl", ROW, {**ROW, "answer": 1})
    assert data_folder.prepare()[0] == 0
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl", "num_repeats": 3})
    assert data_folder.prepare()[0] == 0
    metrics = json.loads((data_folder.path / "out/train_metrics.json").read_text())
    assert metrics["Number of examples"] == 6


def test_metrics_of_the_same_data_must_not_change(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", ROW)
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"})
    assert data_folder.prepare()[0] == 0
    path = data_folder.path / "out/train_metrics.json"
    written = path.read_text()
    path.write_text(written.replace('"Number of examples": 1', '"Number of examples": 2'))
    code, _, err = data_folder.prepare()
    assert code == 2
    assert "out/train_metrics.json: the metrics differ from the existing ones: Number of examples was 2, is 1" in err
    assert data_folder.prepare("--update-metrics")[0] == 0
    assert path.read_text() == written


def test_columns_that_clash_or_mix_types_are_counted(data_folder: DataFolder) -> None:
    data_folder.rows(
        "a.jsonl",
        {**ROW, "name": "x", "temperature": 3, "mixed": 1, "big": 10**400},
        {**ROW, "mixed": "one", "name": "y"},
    )
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"})
    assert data_folder.prepare()[0] == 0
    metrics = json.loads((data_folder.path / "out/train_metrics.json").read_text())
    assert metrics["name"] == "a"
    assert metrics["name (column)"] == {"unique_count": 2, "total_count": 2}
    assert metrics["temperature"]["Average"] == 3.0
    assert metrics["big"] == {"unique_count": 1, "total_count": 1}
    assert (metrics["mixed"]["Average"], metrics["mixed"]["unique_count"]) == (1.0, 1)


def test_columns_are_merged_over_data_sets_unless_a_release_is_asked_for(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", {**ROW, "level": 1}, {**ROW, "level": 3})
    data_folder.rows("b.jsonl", {**ROW, "level": 5})
    data_folder.declare(
        {"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"},
        {"name": "b", "type": "train", "jsonl_fpath": "b.jsonl"},
    )
    averages = {}
    for options in ((), ("--like", "0.7")):
        assert data_folder.prepare(*options)[0] == 0
        averages[options] = json.loads((data_folder.path / "out/train_metrics.json").read_text())["level"]["Average"]
    assert averages == {(): 3.0, ("--like", "0.7"): 5.0}


def test_overlap_and_repetition_are_noted(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", ROW, {**ROW, "x": 1}, ROW)
    data_folder.rows("b.jsonl", {**ROW, "y": 2})
    data_folder.declare(
        {"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"},
        {"name": "b", "type": "validation", "jsonl_fpath": "b.jsonl"},
    )
    _, _, err = data_folder.prepare()
    assert "train: 1 rows repeat an earlier one, first a.jsonl:3 (same as a.jsonl:1)" in err
    assert "validation: 1 tasks are also in train, first b.jsonl:1 (same as a.jsonl:1)" in err


def test_the_shortcuts_of_dataset_collate(data_folder: DataFolder) -> None:
    data_folder.rows("elsewhere/mine.jsonl", ROW)
    entry = {"name": "mine", "type": "example", "jsonl_fpath": "mine.jsonl"}
    agent = {"entrypoint": "app.py", "datasets": [entry]}
    folder = "elsewhere/resources_servers/mine/configs"
    data_folder.write(f"{folder}/other.yaml", json.dumps({"mine": {"responses_api_agents": {"simple_agent": agent}}}))
    data_folder.monkeypatch.setenv("NEMO_GYM_EXTRA_ROOTS", "nowhere")
    options = ["--resources-server", "mine/other", "--model-type", "openai_model", "--search-dir", "elsewhere"]
    options += ["--resources-server", "example_multi_step"]
    code, out, err = data_folder.gymctl(
        "dataset", "collate", *options, "--mode", "example_validation", "--output-dir", "out"
    )
    assert code == 0, err
    assert out == "example: 6 rows from 2 data sets -> out/example.jsonl\n"


@pytest.mark.parametrize(
    "line",
    [
        ["ng_prepare_data", "+config_paths=[stack.yaml]", "+output_dirpath=out", "+mode=train_preparation"],
        ["nemo_gym_prepare_data", "+config_paths=[stack.yaml]", "+output_dirpath=out", "+mode=train_preparation"],
        ["dataset", "collate", "--config", "stack.yaml", "--mode", "train_preparation", "--output-dir", "out"],
        ["dataset", "collate", "+config_paths=[stack.yaml]", "+mode=train_preparation", "+output_dirpath=out"],
    ],
)
def test_nemo_gyms_spellings_do_the_same(line: list[str], data_folder: DataFolder) -> None:
    data_folder.rows("data/a.jsonl", ROW)
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "data/a.jsonl"})
    assert data_folder.gymctl(*line)[0] == 0
    assert len(data_folder.prepared()) == 1
    assert {"data/a_prepare.jsonl", "data/a_metrics.json"} <= data_folder.files()


def test_read_only_data_is_no_obstacle(data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data_folder.rows("data/a.jsonl", ROW)
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "data/a.jsonl"})
    may = os.access
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != path.parent and may(place, mode))
    code, _, err = data_folder.prepare("--sidecars")
    assert code == 0
    assert "data/a.jsonl: the directory is read-only; nothing was written next to the data" in err
    assert len(data_folder.prepared()) == 1


def test_the_report_as_json(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", ROW, {})
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"})
    _, out, _ = data_folder.prepare("--invalid", "drop", "--json")
    report = json.loads(out)
    assert report["files"] == {"train": "out/train.jsonl"}
    assert [(item["rows"], item["written"], item["invalid"]) for item in report["datasets"]] == [(2, 1, 1)]
    assert report["invalid"][0].startswith("a.jsonl:2: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["+mode=training"], "mode is 'training'; it must be train_preparation or example_validation"),
        (["+should_download=maybe"], "+should_download=maybe: expected true or false"),
        (["+task_data_validation=warn"], "rows are not checked while they are prepared; use gymctl data check"),
        (["+mode=train_preparation"], "--output-dir is missing; add --output-dir data/prepared"),
        (["+output_dirpath=out"], "--mode is missing; add --mode train_preparation"),
    ],
)
def test_wrong_options_of_nemo_gym_are_refused(arguments: list[str], message: str, data_folder: DataFolder) -> None:
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"})
    code, _, err = data_folder.gymctl("ng_prepare_data", "+config_paths=[stack.yaml]", *arguments)
    assert code == 2
    assert message in err
