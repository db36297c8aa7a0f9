"""Input files of every kind, and rows that are refused with their line."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
import zstandard
from pyarrow import parquet
from rollout_stack import keys, read, row, spec_of

from gymctl.config.rows.row_files import read_rows
from gymctl.errors import InputError
from gymctl.rollouts.plain_input import plain_input
from gymctl.rollouts.tasks import input_digest, materialise

ROWS = [row(0), row(1), row(2)]
TEXT = "".join(json.dumps(each) + "\n" for each in ROWS)


def as_parquet(path: Path) -> None:
    parquet.write_table(arrow.Table.from_pylist(ROWS), path)


WRITERS: dict[str, Any] = {
    "gzip": lambda path: path.write_bytes(gzip.compress(TEXT.encode())),
    "zstd": lambda path: path.write_bytes(zstandard.compress(TEXT.encode())),
    "parquet": as_parquet,
    "utf-16": lambda path: path.write_bytes(TEXT.encode("utf-16")),
    "utf-8 with a mark": lambda path: path.write_bytes(TEXT.encode("utf-8-sig")),
    "blank lines and CRLF": lambda path: path.write_bytes(b"\r\n" + TEXT.replace("\n", "\r\n\r\n").encode()),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_rows_of_any_file_are_the_same_rows(tmp_path: Path, kind: str) -> None:
    spec = spec_of(tmp_path, 0)
    WRITERS[kind](spec.input)
    inputs = materialise(spec)
    assert keys(read(spec.files.materialized)) == [(0, 0), (1, 0), (2, 0)]
    assert inputs.digest == input_digest(spec)
    sent = [{name: value for name, value in each.items() if name in ROWS[0]} for each in read(spec.files.materialized)]
    assert sent == ROWS


@pytest.mark.parametrize("kind", WRITERS)
def test_a_collector_without_packages_gets_the_same_rows(tmp_path: Path, kind: str) -> None:
    spec = spec_of(tmp_path, 0)
    WRITERS[kind](spec.input)
    with plain_input(spec.input) as path:
        assert path.name == spec.input.name
        assert (path == spec.input) == (kind not in ("zstd", "parquet"))
        assert list(read_rows(path)) == list(read_rows(spec.input))
        assert input_digest(replace(spec, input=path)) == input_digest(spec)
    assert path.exists() == (path == spec.input)


def test_lines_keep_their_numbers_without_packages(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(zstandard.compress(b'\n\n{"a": 1}\n\n{"a": 2}\n{"a": 3}'))
    with plain_input(path) as plain:
        assert [number for number, _ in read_rows(plain)] == [3, 5, 6]


@pytest.mark.parametrize("kind", ["gzip", "zstd", "parquet"])
def test_a_damaged_file_is_named(tmp_path: Path, kind: str) -> None:
    spec = spec_of(tmp_path, 0)
    WRITERS[kind](spec.input)
    spec.input.write_bytes(spec.input.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"rows\.jsonl.*(damaged|not a readable Parquet file)"):
        materialise(spec)
    assert not spec.files.materialized.exists()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ('"x": NaN', "NaN at column"),
        ('"x": [1, -Infinity]', "-Infinity at column"),
        ('"x": "\\ud83d"', "half of a surrogate pair"),
        ('"x": [0, 1e400]', "x.1 is outside the range of a float"),
        ('"x": {"y": -1e400}', "x.y is outside"),
        ('"x": 1e-400', "x is outside"),
        ('"x": ' + "1" + "0" * 400 + ".5", "x is outside"),
        ('"x": 0.' + "0" * 400 + "1", "x is outside"),
        ('"x": ' + "1" * 5000, "invalid JSON"),
    ],
)
def test_what_json_lacks_is_named_with_its_line(tmp_path: Path, fields: str, problem: str) -> None:
    spec = spec_of(tmp_path, 0)
    spec.input.write_text(TEXT + json.dumps(row(3))[:-1] + f", {fields}}}\n")
    with pytest.raises(InputError, match=r"rows\.jsonl:4: ") as caught:
        materialise(spec)
    assert problem in str(caught.value)


@pytest.mark.parametrize("value", ["null", "3", "{}", "true", '["hi"]', "[[]]"])
def test_an_input_that_asks_nothing_is_refused(tmp_path: Path, value: str) -> None:
    spec = spec_of(tmp_path, 0)
    spec.input.write_text(f'{{"agent_ref": {{"name": "alpha"}}, "responses_create_params": {{"input": {value}}}}}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl:1: responses_create_params\S* (has no input|is )"):
        materialise(spec)


@pytest.mark.parametrize("value", ['"hi"', "[]", '[{"role": "user", "content": "hi"}]'])
def test_an_input_that_asks_something_is_taken(tmp_path: Path, value: str) -> None:
    spec = spec_of(tmp_path, 0)
    spec.input.write_text(f'{{"agent_ref": {{"name": "alpha"}}, "responses_create_params": {{"input": {value}}}}}\n')
    assert materialise(spec).rows == 1


def test_an_input_may_come_from_the_run(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, [{"agent_ref": {"name": "alpha"}, "responses_create_params": {}}])
    with pytest.raises(InputError, match="has no input"):
        materialise(spec)
    assert materialise(replace(spec, params_override={"input": "hi"})).rows == 1


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([row(0, _ng_task_index=3), row(1, _ng_task_index=3)], 2),
        ([row(0), row(1, _ng_task_index=0)], 2),
        ([row(0, _ng_task_index=0), row(1)], 2),
        ([row(0, _ng_task_index=1), row(1), row(2)], 3),
        ([row(0, "alpha", _ng_task_index=0), row(0, "beta", _ng_task_index=0)], 2),
        ([row(0, _ng_task_index=0), {**row(1, _ng_task_index=0), "response": {}, "reward": 1}], 2),
    ],
)
def test_two_tasks_with_one_index_are_refused(tmp_path: Path, rows: list[dict[str, Any]], line: int) -> None:
    spec = spec_of(tmp_path, rows)
    with pytest.raises(
        InputError, match=rf"rows\.jsonl:{line}: _ng_task_index \d is also the index of another task, on"
    ):
        materialise(spec)


@pytest.mark.parametrize(
    "rows",
    [
        [row(0, _ng_task_index=3), row(0, _ng_task_index=3, _ng_rollout_index=1), row(1, _ng_task_index=4)],
        [{**row(0, _ng_task_index=3), "response": {"a": n}, "reward": n, "extracted": n} for n in (0, 1)],
        [row(0), row(0), row(1, _ng_task_index=1)],
    ],
)
def test_repeats_of_a_task_share_its_index(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    materialise(spec_of(tmp_path, rows))


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 0, params_override={"seed": 7})
    numbers = '"a": 18446744073709551617, "b": 1.50, "c": 1e300, "d": [0.1234567890123456789]'
    params = '{"input": "hi", "top_p": 0.12345678901234567890}'
    spec.input.write_text(f'{{"agent_ref": {{"name": "alpha"}}, "responses_create_params": {params}, {numbers}}}\n')
    materialise(spec)
    text = spec.files.materialized.read_text()
    for number in (
        "18446744073709551617",
        "1.50",
        "1e300",
        "0.1234567890123456789]",
        "0.1234567890123456789",
    ):
        assert number in text


@pytest.mark.parametrize("number", ["1e308", "5e-324", "0e999", "0." + "0" * 320, "1" + "0" * 400, '"1e400"'])
def test_numbers_within_a_float_are_taken(tmp_path: Path, number: str) -> None:
    spec = spec_of(tmp_path, 0)
    spec.input.write_text(json.dumps(row(0))[:-1] + f', "x": {number}}}\n')
    materialise(spec)
    assert f'"x":{number}' in spec.files.materialized.read_text()


def test_a_decimal_of_a_parquet_file_stays_one(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 0)
    exact = Decimal("12345678901234567890.123456789")
    table = arrow.Table.from_pylist([{**row(0), "exact": exact, "missing": None}])
    parquet.write_table(table, spec.input)
    materialise(spec)
    assert f'"exact":{exact}' in spec.files.materialized.read_text()
    parquet.write_table(arrow.Table.from_pylist([{**row(0), "x": float("nan")}]), spec.input)
    with pytest.raises(InputError, match=r"rows\.jsonl:1: x is not a finite number"):
        materialise(spec)
