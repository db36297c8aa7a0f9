"""Input files: what is accepted, how rows become rollouts, and what is said of bad ones."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_stack import keys, read, row, spec_of

from gymctl.errors import InputError
from gymctl.rollouts.spec import RunSpec
from gymctl.rollouts.start import RunStart, open_run, take_lock
from gymctl.rollouts.tasks import input_digest, materialise


def opened(spec: RunSpec) -> RunStart:
    lock = take_lock(spec)
    try:
        return open_run(spec, lock)
    finally:
        lock.release()


def refusal(folder: Path, text: str | bytes, **options: Any) -> str:
    spec = spec_of(folder, 0, **options)
    spec.input.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as caught:
        materialise(spec)
    assert sorted(path.name for path in folder.iterdir()) == ["rows.jsonl"], "nothing may be left half-written"
    return str(caught.value)


GOOD = '{"responses_create_params": {"input": "x"}, "agent_ref": {"name": "alpha"}}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "{not json}\n", "rows.jsonl:2: invalid JSON"),
        ("[1, 2]\n", "rows.jsonl:1: a JSON array, not one row per line; convert it with: jq -c '.[]'"),
        ("[\n  {}\n]\n", "jq -c '.[]'"),
        ('{"agent_ref": {"name": "alpha"}}\n', "rows.jsonl:1: the row has no responses_create_params"),
        ('{"responses_create_params": []}\n', "a malformed responses_create_params"),
        (
            '{"responses_create_params": {}}\n',
            'names no agent; add "agent_ref": {"name": ...} or --agent NAME (agents: alpha',
        ),
        (GOOD.replace("alpha", "alhpa"), "no agent 'alhpa'; did you mean 'alpha'?"),
        (GOOD.replace("alpha", "zzz"), "no agent 'zzz' (agents: alpha, beta)"),
        (GOOD.replace('{"name": "alpha"}', '"alpha"'), "agent_ref must be an object with a name"),
        (GOOD.replace('"name"', '"type": "resources_servers", "name"'), "it must be 'responses_api_agents'"),
        (GOOD[:-2] + ', "_ng_task_index": "3"}\n', "_ng_task_index is '3'"),
        (b'{"responses_create_params": {"input": "\xff"}}\n', "invalid JSON"),
        ("", "has no rows"),
        ("\n \n", "has no rows"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_ten_problems_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    problem = refusal(tmp_path, GOOD + "nonsense\n" * 25)
    assert len(problem.splitlines()) == 11
    assert "rows.jsonl:11" in problem
    assert "15 more" in problem


def test_paths_are_checked_first(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 1)
    for wrong, message in (
        (replace(spec, input=tmp_path / "row.jsonl"), "did you mean"),
        (replace(spec, input=tmp_path), "is a directory"),
        (replace(spec, output=tmp_path), "is a directory"),
        (replace(spec, output=tmp_path / "no" / "out.jsonl"), "does not exist"),
        (replace(spec, output=spec.input), "would be overwritten by this run"),
    ):
        with pytest.raises(InputError, match=message):
            materialise(wrong)


@pytest.mark.parametrize("suffix", [".jsonl", "_failures.jsonl", "_materialized_inputs.jsonl", "_run.json"])
def test_what_is_no_regular_file_is_left_alone(tmp_path: Path, suffix: str) -> None:
    spec = spec_of(tmp_path, 1)
    pipe = tmp_path / f"out{suffix}"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=f"out{suffix} is not a regular file"):
        opened(replace(spec, force=True))
    assert pipe.is_fifo()
    pipe.unlink()
    pipe.symlink_to("elsewhere")
    with pytest.raises(InputError, match="not a regular file"):
        opened(spec)
    assert pipe.is_symlink()


@pytest.mark.parametrize("options", [{"limit": 0}, {"num_repeats": 0}, {"concurrency": 0}, {"deadline_s": 0.0}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        RunSpec(Path("a"), Path("b"), **options)


def test_a_spec_survives_its_way_to_a_container() -> None:
    spec = RunSpec(Path("a"), Path("b"), num_repeats={"_default": 2}, agents=("x",), identity={"config": "1"})
    assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_agent_option_fills_only_rows_without_one(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, [row(0), row(1, None), row(2, None, agent_ref=None)], agent="beta")
    materialise(spec)
    assert [item["agent_ref"]["name"] for item in read(spec.files.materialized)] == ["alpha", "beta", "beta"]


def test_the_agent_option_is_checked_also_when_no_row_needs_it(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, [row(0)], agent="bta")
    with pytest.raises(InputError, match="no agent 'bta'; did you mean 'beta'"):
        opened(spec)
    assert opened(replace(spec, agents=())).inputs.agents == {"alpha": 1}  # not known: nothing to check against


def test_equal_lines_share_a_task_and_a_given_index_is_kept(tmp_path: Path) -> None:
    spec = spec_of(
        tmp_path, [row(0), row(1), row(0), row(7, _ng_task_index=7), row(7, _ng_task_index=7)], num_repeats=2
    )
    inputs = materialise(spec)
    assert keys(read(spec.files.materialized)) == [
        (0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (7, 0), (7, 1), (7, 2), (7, 3),
    ]  # fmt: skip
    assert (inputs.rows, inputs.rollouts, inputs.agents) == (5, 10, {"alpha": 10})


def test_repeats_by_agent(tmp_path: Path) -> None:
    rows = [row(0), row(1, "beta")]
    spec = spec_of(tmp_path, rows, num_repeats={"alpha": 3, "_default": 1})
    assert materialise(spec).agents == {"alpha": 3, "beta": 1}
    with pytest.raises(InputError, match="no entry for agent 'beta' and no _default"):
        materialise(replace(spec, num_repeats={"alpha": 3}))


def test_limit_reads_no_further(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 0, limit=2)
    spec.input.write_text(GOOD * 2 + "broken\n")
    inputs = materialise(spec)
    assert inputs.rows == 2
    assert inputs.digest == input_digest(spec) != input_digest(replace(spec, limit=None))


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 0)
    spec.input.write_bytes(b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n\n" + GOOD.strip().encode())
    assert keys_of(spec) == [(0, 0), (0, 1)]


def keys_of(spec: RunSpec) -> list[tuple[int, int]]:
    materialise(spec)
    return keys(read(spec.files.materialized))


@settings(max_examples=40, deadline=None)
@given(lines=st.lists(st.integers(0, 4), min_size=1, max_size=12), repeats=st.integers(1, 4))
def test_expansion_gives_each_pair_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[int], repeats: int
) -> None:
    spec = spec_of(tmp_path_factory.mktemp("run"), [row(number) for number in lines], num_repeats=repeats)
    rollouts = keys_of(spec)
    assert len(rollouts) == len(set(rollouts)) == len(lines) * repeats
    texts = list(dict.fromkeys(lines))
    assert [task for task, _ in rollouts] == [texts.index(number) for number in lines for _ in range(repeats)]
    for task in range(len(texts)):
        assert [repeat for of, repeat in rollouts if of == task] == list(range(lines.count(texts[task]) * repeats))
