"""Wrong data sets are refused by file and line, with what would be right, and leave nothing behind."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from data_folder import ROW, DataFolder

GOOD = json.dumps(ROW)


def entry(**keys: Any) -> Callable[[DataFolder], None]:
    """A declaration with good rows and other keys."""

    def write(folder: DataFolder) -> None:
        folder.rows("rows.jsonl", ROW)
        folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "rows.jsonl", **keys})

    return write


def rows(content: str | bytes, name: str = "rows.jsonl") -> Callable[[DataFolder], None]:
    """A good declaration of a file with this content."""

    def write(folder: DataFolder) -> None:
        folder.write(name, content)
        folder.declare({"name": "rows", "type": "train", "jsonl_fpath": name})

    return write


def params(**values: Any) -> Callable[[DataFolder], None]:
    """A second row with other parameters."""
    return rows(f"{GOOD}\n{json.dumps({'responses_create_params': {**ROW['responses_create_params'], **values}})}\n")


def without_column(folder: DataFolder) -> None:
    """A benchmark whose prompt names a column that its row does not have."""
    folder.rows("rows.jsonl", {"q": "x"})
    folder.write("p.yaml", "user: '{question}'\n")
    folder.declare(
        {
            "name": "b",
            "type": "benchmark",
            "jsonl_fpath": "rows.jsonl",
            "prepare_script": "x.py",
            "prompt_config": "p.yaml",
        }
    )


WRONG = {
    "no params": (rows(f'{GOOD}\n{{"x": 1}}\n'), "rows.jsonl:2: responses_create_params is missing"),
    "params are text": (
        rows('{"responses_create_params": "x"}'),
        "rows.jsonl:1: responses_create_params is not an object",
    ),
    "unknown parameter": (
        params(temprature=1),
        "rows.jsonl:2: responses_create_params has the unknown key 'temprature'",
    ),
    "no input": (rows('{"responses_create_params": {}}'), "rows.jsonl:1: responses_create_params has no input"),
    "unknown role": (
        params(input=[{"role": "usr", "content": "x"}]),
        "rows.jsonl:2: responses_create_params.input.0.role",
    ),
    "chat parts": (
        params(input=[{"role": "user", "content": [{"type": "text", "text": "x"}]}]),
        "rows.jsonl:2: responses_create_params.input.0.content.0",
    ),
    "tool without parameters": (
        params(tools=[{"type": "function", "name": "t", "strict": True}]),
        "rows.jsonl:2: responses_create_params.tools.0.parameters",
    ),
    "temperature is text": (params(temperature="hot"), "rows.jsonl:2: responses_create_params.temperature"),
    "broken JSON": (rows(f"{GOOD}\n{GOOD[:-3]}\n"), "rows.jsonl:2: not JSON: "),
    "two objects in a line": (rows(f"{GOOD}{GOOD}\n"), "rows.jsonl:1: not JSON: extra data at column"),
    "a list": (rows(f"{GOOD}\n[]\n"), "rows.jsonl:2: the row is a list; it must be an object"),
    "NaN": (rows('{"x": NaN}\n'), "rows.jsonl:1: not JSON: NaN is not JSON"),
    "number beyond floats": (
        rows(GOOD[:-1] + ', "x": 1e999}'),
        "rows.jsonl:1: not JSON: 1e999 is too large for a number",
    ),
    "an array of rows": (rows(f"[{GOOD}]"), "rows.jsonl:1: a JSON array, not one row per line; convert it with: jq"),
    "Latin-1": (rows(GOOD.replace("What", "é").encode("latin-1")), "is not UTF-8; save the file as UTF-8"),
    "torn gzip": (rows(gzip.compress((GOOD + "\n").encode() * 500)[:-9]), "rows.jsonl:"),
    "missing cell": (
        rows("prompt,answer\nx,1\ny\n", "rows.csv"),
        "rows.csv:3: 1 cells, but the header on line 1 has 2",
    ),
    "columns of one name": (rows("a,a\n1,2\n", "rows.csv"), "rows.csv:1: two columns are named 'a'"),
    "unclosed quote": (rows('prompt\n"x\n', "rows.csv"), "rows.csv:2: not valid CSV"),
    "not Parquet": (rows(b"PAR1 and then nothing", "rows.parquet"), "rows.parquet:1: not a readable Parquet file"),
    "last message of the assistant": (
        rows('{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}'),
        "rows.jsonl:1: the last message is the assistant's; name a column for it with 'answer' in the mapping",
    ),
    "message without role": (rows('{"messages": [{"content": "x"}]}'), "rows.jsonl:1: messages[0]: the role is None"),
    "no file": (entry(jsonl_fpath="gone.jsonl"), "stack.yaml:"),
    "no license": (entry(license=None), "stack.yaml:14: rows: a train data set needs a license"),
    "unknown license": (entry(license="Apache-2.0"), "unknown license 'Apache-2.0'; did you mean 'Apache 2.0'?"),
    "unknown type": (entry(type="trian"), "the type is 'trian'; did you mean 'train'?"),
    "misspelt key": (entry(num_repeat=2), "did you mean 'num_repeats'?"),
    "a taskset": (
        entry(taskset="weather"),
        "gymctl cannot prepare data sets with a taskset; remove the key, or prepare the data set with NeMo Gym",
    ),
    "no repeats": (
        entry(num_repeats=0),
        "stack.yaml:18: agent.responses_api_agents.simple_agent.datasets[0].num_repeats",
    ),
    "unset path": (entry(jsonl_fpath="???"), "datasets[0].jsonl_fpath has no value (???); set it"),
    "two sources": (
        entry(source={"type": "huggingface", "repo_id": "a/b"}, huggingface_identifier={"repo_id": "a/b"}),
        "both source and huggingface_identifier are set; keep source",
    ),
    "agent of another server": (entry(agent="other"), "the agent 'other' does not use this resources server"),
    "prompt without its column": (
        without_column,
        "rows.jsonl:1: the prompt names the column 'question'; the row has q",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_is_refused_with_its_place(case: str, data_folder: DataFolder) -> None:
    write, message = WRONG[case]
    write(data_folder)
    before = data_folder.files()
    code, out, err = data_folder.prepare()
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert data_folder.files() == before


def test_a_row_cannot_write_to_the_terminal(data_folder: DataFolder) -> None:
    columns = {f"\x1b[31m\n{number}" + "x" * 500: 1 for number in range(50)}
    data_folder.rows("rows.jsonl", {"prompt": [{"role": "\x1b[2J\nerror: fake", "content": "x"}]}, columns)
    data_folder.write("map.yaml", "columns: {gold: answer}\n")
    data_folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "rows.jsonl"})
    for options in ((), ("--mapping", "map.yaml")):
        code, _, err = data_folder.prepare(*options)
        assert code == 2
        assert "\x1b" not in err
        assert len(err.splitlines()) == 3
        assert len(err) < 2000


def test_only_the_first_problems_are_listed_and_all_are_counted(data_folder: DataFolder) -> None:
    rows("{}\n" * 1000)(data_folder)
    _, _, err = data_folder.prepare()
    lines = err.splitlines()
    assert len(lines) == 22
    assert lines[20] == "error: ... and 980 more rows"
