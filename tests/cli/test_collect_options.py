"""What the options of ``gymctl collect``, and upstream's spelling of them, ask the collector for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gymctl import assets
from gymctl.cli.collect import run_spec
from gymctl.errors import InputError

FILES = {"input": Path("rows.jsonl"), "output": Path("rollouts.jsonl")}


@pytest.mark.parametrize(
    ("text", "repeats"), [("4", 4), ("math=4", {"math": 4}), ("math=4, _default=1", {"math": 4, "_default": 1})]
)
def test_repeats_are_one_number_or_one_by_agent(text: str, repeats: object) -> None:
    assert run_spec({**FILES, "num_repeats": text}, [], {"order": "completion"}).num_repeats == repeats


@pytest.mark.parametrize("text", ["x", "math", "math=", "=3", "math=4,", "-1", "math=0", "0"])
def test_repeats_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="repeats"):
        run_spec({**FILES, "num_repeats": text}, [], {"order": "completion"})


def test_upstreams_spelling() -> None:
    overrides = [
        "+input_jsonl_fpath=rows.jsonl",
        "+output_jsonl_fpath=rollouts.jsonl",
        "+num_samples_in_parallel=16384",
        "+num_repeats=3",
        "+resume_from_cache=true",
    ]
    spec = run_spec({}, overrides, {"order": "input", "stall_s": 5.0})
    assert (spec.input, spec.output) == (FILES["input"], FILES["output"])
    assert (spec.concurrency, spec.num_repeats, spec.resume, spec.stall_after_s) == (16384, 3, True, 5.0)


def test_a_stall_must_be_above_nothing() -> None:
    with pytest.raises(InputError, match="stall is 0"):
        run_spec(FILES, [], {"order": "completion", "stall_s": 0.0})


def test_an_output_that_is_a_link_stands_for_what_it_leads_to(tmp_path: Path) -> None:
    link, there = tmp_path / "latest.jsonl", tmp_path / "runs" / "one.jsonl"
    link.symlink_to(there)
    assert run_spec({**FILES, "output": link}, [], {"order": "completion"}).output == there.resolve()
    there.parent.mkdir()
    os.mkfifo(there)
    assert run_spec({**FILES, "output": link}, [], {"order": "completion"}).output == link  # refused by what it is


def test_rows_of_a_bundled_server_are_found_by_the_path_in_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = Path("resources_servers/example_multi_step/data/example.jsonl")
    given = {**FILES, "input": rows}
    assert run_spec(given, [], {"order": "completion"}).input == assets.folder("services") / rows
    rows.parent.mkdir(parents=True)
    rows.touch()
    assert run_spec(given, [], {"order": "completion"}).input == rows
