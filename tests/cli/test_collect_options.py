"""What the options of ``gymctl collect``, and upstream's spelling of them, ask the collector for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gymctl import assets
from gymctl.errors import InputError
from gymctl.operations.collect_options import run_spec

FILES = {"input": Path("rows.jsonl"), "output": Path("rollouts.jsonl")}


@pytest.mark.parametrize(
    ("text", "repeats"), [("4", 4), ("math=4", {"math": 4}), ("math=4, _default=1", {"math": 4, "_default": 1})]
)
def test_repeats_are_one_number_or_one_by_agent(text: str, repeats: object) -> None:
    assert run_spec({**FILES, "num_repeats": text}).num_repeats == repeats


@pytest.mark.parametrize("text", ["x", "math", "math=", "=3", "math=4,", "-1", "math=0", "0", "²", "math=²"])
def test_repeats_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="repeats"):
        run_spec({**FILES, "num_repeats": text})


def test_upstreams_spelling() -> None:
    overrides = [
        "+input_jsonl_fpath=rows.jsonl",
        "+output_jsonl_fpath=rollouts.jsonl",
        "+num_samples_in_parallel=16384",
        "+num_repeats=3",
        "+resume_from_cache=true",
    ]
    spec = run_spec({"order": "input", "stall_s": 5.0}, overrides)
    assert (spec.input, spec.output) == (FILES["input"], FILES["output"])
    assert (spec.concurrency, spec.num_repeats, spec.resume, spec.stall_after_s) == (16384, 3, True, 5.0)


def test_overrides_of_one_mapping_are_laid_over_one_another() -> None:
    overrides = [
        "+responses_create_params={temperature: 1.0, reasoning: {effort: low}}",
        "+responses_create_params.temperature=0.5",
        "++responses_create_params.reasoning.summary=auto",
        "responses_create_params.max_output_tokens=null",
        "+num_repeats.math=4",
        "+num_repeats._default=1",
    ]
    spec = run_spec(FILES, overrides)
    assert spec.params_override == {
        "temperature": 0.5,
        "reasoning": {"effort": "low", "summary": "auto"},
        "max_output_tokens": None,
    }
    assert spec.num_repeats == {"math": 4, "_default": 1}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+num_repeats={_default: x}", "num_repeats is 'x'; it must be a whole number, 1 or more"),
        ("+num_repeats={_default: 1.5}", "num_repeats is 1.5; it must be a whole number, 1 or more"),
        ("+num_repeats={_default: true}", "num_repeats is True; it must be a whole number, 1 or more"),
        ("+num_repeats={1: 2}", "num_repeats is {1: 2}, which cannot be encoded: .*; it must be JSON"),
        ("+responses_create_params={1: 2}", "responses_create_params is {1: 2}, which cannot be encoded"),
        ("+responses_create_params=3", r"\+responses_create_params is 3; it must be a mapping"),
        ("+limit.x=3", "collect has no option 'limit.x'; see gymctl collect --help"),
        ("~limit", "'~limit': options of collect cannot be deleted; omit it instead; see gymctl collect --help"),
    ],
)
def test_overrides_that_make_no_sense_are_refused(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_spec(FILES, [override])


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_times_are_above_nothing_and_have_an_end(seconds: float) -> None:
    for name, message in (("stall_s", "stall is"), ("deadline_s", "the deadline is")):
        with pytest.raises(InputError, match=f"{message} {seconds:g}.* s; it must be above 0".replace("+", r"\+")):
            run_spec({**FILES, name: seconds})


def test_what_failed_is_tried_again_in_a_run_that_goes_on() -> None:
    for flags, overrides in (({"resume": True}, []), ({}, ["+resume_from_cache=true"])):
        assert run_spec({**FILES, **flags, "retry_failed": True}, overrides).retry_failed
    with pytest.raises(InputError, match=r"--retry-failed .*; add --resume"):
        run_spec({**FILES, "retry_failed": True})


def test_a_concurrency_in_other_digits_is_refused() -> None:
    with pytest.raises(InputError, match="--concurrency is '²'"):
        run_spec({**FILES, "concurrency": "²"})


def test_an_output_that_is_a_link_stands_for_what_it_leads_to(tmp_path: Path) -> None:
    link, there = tmp_path / "latest.jsonl", tmp_path / "runs" / "one.jsonl"
    link.symlink_to(there)
    assert run_spec({**FILES, "output": link}).output == there.resolve()
    there.parent.mkdir()
    os.mkfifo(there)
    assert run_spec({**FILES, "output": link}).output == link  # refused by what it is


def test_rows_of_a_bundled_server_are_found_by_the_path_in_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = Path("resources_servers/example_multi_step/data/example.jsonl")
    arguments = {**FILES, "input": rows}
    assert run_spec(arguments).input == assets.folder("services") / rows
    rows.parent.mkdir(parents=True)
    rows.touch()
    assert run_spec(arguments).input == rows
