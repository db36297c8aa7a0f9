"""Rows come out the same whatever they are packed in, and damage is found at its line."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gymctl.config.rows import row_files
from gymctl.config.rows.row_files import read_rows
from gymctl.errors import InputError

ROWS: list[dict[str, Any]] = [{"text": f"é\u2028 {number}", "number": number} for number in range(300)]
TEXT = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
PACKED = {
    "plain": TEXT.encode(),
    "byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "UTF-16": TEXT.encode("utf-16"),
    "gzip": gzip.compress(TEXT.encode(), mtime=0),
    "two gzip members": gzip.compress(TEXT[:1000].encode(), mtime=0) + gzip.compress(TEXT[1000:].encode(), mtime=0),
    "zstd": zstandard.compress(TEXT.encode()),
    "two zstd frames": zstandard.compress(TEXT[:1000].encode()) + zstandard.compress(TEXT[1000:].encode()),
    "carriage returns": TEXT.replace("\n", "\r\n").encode(),
    "UTF-16 in gzip": gzip.compress(TEXT.encode("utf-16")),
}


def objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for _, text in read_rows(path)]


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows", "rows.txt.gz"])
def test_content_decides_not_the_name(packing: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED[packing])
    assert objects(path) == ROWS


@pytest.mark.parametrize("packing", ["gzip", "two gzip members", "zstd", "two zstd frames"])
def test_a_file_that_is_cut_short_is_damaged(packing: str, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(PACKED[packing][:-12])
    with pytest.raises(InputError, match=r"rows:\d+: the compressed file is damaged"):
        objects(path)


@pytest.mark.parametrize(
    ("content", "problem", "cure"),
    [
        (bz2.compress(TEXT.encode()), "bzip2", "bunzip2"),
        (lzma.compress(TEXT.encode()), "xz", "unxz"),
        (b"PK\x03\x04" + bytes(30), "a ZIP archive", "unzip"),
        (gzip.compress(PACKED["gzip"]), "compressed twice", "gunzip"),
        (zstandard.compress(PACKED["gzip"]), "compressed twice", "gunzip"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "a pointer of Git LFS", "git lfs pull"),
        (b"SQLite format 3\0", "an SQLite database", "JSON lines"),
        (TEXT.encode("utf-32"), "UTF-32", "UTF-8"),
        (TEXT.encode("utf-16-le"), "NUL bytes", "UTF-8"),
        (b'{"text": "a"}\n' + bytes(20), "NUL bytes", "UTF-8"),
    ],
)
def test_content_that_is_not_read_is_named_with_the_cure(
    content: bytes, problem: str, cure: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        objects(path)
    assert cure in str(caught.value)


def test_parquet_by_its_content(tmp_path: Path) -> None:
    nested = [{"messages": [{"role": "user", "content": "x"}], "n": number, "none": None} for number in range(600)]
    path = tmp_path / "rows.jsonl"
    pq.write_table(pa.Table.from_pylist(nested), path)
    assert objects(path) == nested
    assert [number for number, _ in read_rows(path)] == list(range(1, 601))


def test_numbers_that_json_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([{"x": 1.5}, {"x": float("nan")}, {"x": float("inf")}, {"x": None}]), path)
    problems: list[int] = []
    rows = [json.loads(text) for _, text in read_rows(path, lambda number, _: problems.append(number))]
    assert (rows, problems) == ([{"x": 1.5}, {"x": None}], [2, 3])
    with pytest.raises(InputError, match=r"rows.parquet:2: x is not a finite number"):
        objects(path)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_csv_and_tsv(compress: Any, tmp_path: Path) -> None:
    for name, delimiter in (("rows.csv", ","), ("rows.tsv", "\t"), ("rows", ",")):
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter).writerows([("a", "b"), ("x\ny", '"'), ("", "é,\t")])
        path = tmp_path / name
        path.write_bytes(compress(text.getvalue().encode()))
        rows = list(read_rows(path))
        assert [json.loads(row) for _, row in rows] == [{"a": "x\ny", "b": '"'}, {"a": "", "b": "é,\t"}]
        assert [number for number, _ in rows] == [2, 4]


def test_blank_lines_count_but_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\n{"a":1}\n  \n{"a":2}')
    assert list(read_rows(path)) == [(2, b'{"a":1}'), (4, b'{"a":2}')]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for name in ("rows.jsonl", "rows.csv", "rows"):
        (tmp_path / name).touch()
        assert list(read_rows(tmp_path / name)) == []


def test_a_row_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_files, "MOST_BYTES", 1000)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":"' + b"x" * 2000)
    with pytest.raises(InputError, match=r"rows.jsonl:2: the row is longer"):
        objects(path)


@pytest.mark.parametrize(("name", "message"), [("gone.jsonl", "cannot be read"), (".", "is a directory")])
def test_what_is_no_file(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        objects(tmp_path / name)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    path = tmp_path / "rows"
    path.write_bytes(PACKED["zstd"])
    with pytest.raises(InputError, match=r"zstandard is not installed; install it with: pip install 'gymctl\[data\]'"):
        objects(path)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.floats(allow_nan=False))))
def test_any_objects_survive_any_packing(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    folder = tmp_path_factory.mktemp("rows")
    text = "".join(json.dumps(row) + "\n" for row in rows)
    for number, packed in enumerate((text.encode(), gzip.compress(text.encode()), zstandard.compress(text.encode()))):
        path = folder / str(number)
        path.write_bytes(packed)
        assert objects(path) == rows
