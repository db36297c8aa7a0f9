"""Files of rows, read one row at a time: JSON lines, CSV or Parquet; plain, gzip or zstd; UTF-8 or UTF-16.

Compression, encoding and Parquet are recognised by the first bytes of the content, not by the name. Every row comes
out as JSON text with its line number, so that a reader needs one way to parse rows. Memory is bounded by one row.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, cast

import orjson

from gymctl.config import exact_json
from gymctl.config.rows.zstd_reader import ZstdReader
from gymctl.errors import InputError

MOST_BYTES = 256 * 1024 * 1024
"""Size of the longest row that is read; a longer one is refused."""

_BLOCK = 1 << 20
_UTF8_MARK = codecs.BOM_UTF8
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PARQUET = b"PAR1"
_FOREIGN = {
    b"BZh": ("compressed with bzip2", "unpack it with: bunzip2 {path}"),
    b"\xfd7zXZ": ("compressed with xz", "unpack it with: unxz {path}"),
    b"PK\x03\x04": ("a ZIP archive", "unpack it with: unzip {path}"),
    _GZIP: ("compressed twice", "unpack it with: gunzip {path}"),
    _ZSTD: ("compressed twice", "unpack it with: unzstd {path}"),
    b"ARROW1": ("an Arrow file", "write it as Parquet or as JSON lines"),
    b"SQLite format 3": ("an SQLite database", "write its rows as JSON lines"),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "run: git lfs pull"),
    codecs.BOM_UTF32_LE: ("UTF-32", "save it as UTF-8"),
    codecs.BOM_UTF32_BE: ("UTF-32", "save it as UTF-8"),
}
"""Beginnings of contents that are not read, what each of them is, and what to do."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PACKED = (".gz", ".zst", ".zstd", ".gzip")
_EXTRA = "install it with: pip install 'gymctl[data]'"

OnProblem = Callable[[int, str], None]


class RowFormat(StrEnum):
    """What the rows of a file are written as, once it is decompressed."""

    JSON_LINES = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


def read_rows(path: Path, on_problem: OnProblem | None = None) -> Iterator[tuple[int, bytes]]:
    """The rows of a file as (line number from 1, JSON text); blank lines are left out. The text is not parsed.

    In a Parquet file the number is the row's, in a CSV file the record's first line.

    Args:
        path: the file.
        on_problem: receives the line number and the message of a record that cannot be a row (CSV with a missing
            cell, for example), after which reading continues; without it the first such record is an error.

    Raises:
        InputError: the file is missing, is not readable, is damaged, or a package for its format is not installed.
    """
    report = on_problem or _refuser(path)
    damaged = "the compressed file is damaged"
    with open_decompressed(path) as content:
        rows = _READERS[detect_format(path, content)](path, content, report)
        number = 0
        try:
            for number, text in rows:
                yield number, text
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path}:{number + 1}: {damaged}: {error}", "copy it again") from error
        except UnicodeError as error:
            raise InputError(f"{path}:{number + 1}: not valid text: {error}", "save it as UTF-8") from error
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}", "check the disk") from error


@contextmanager
def open_decompressed(path: Path) -> Iterator[io.BufferedReader]:
    """The content of a file, decompressed when it is gzip or zstd. It can be peeked into, not sought.

    Raises:
        InputError: the file is missing or not readable, or zstandard is not installed.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a directory", "give the path of a file in it")
    try:
        raw = io.BufferedReader(path.open("rb", buffering=0), _BLOCK)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}", "check the path") from error
    with raw:
        head = raw.peek(8)[:8]
        if head.startswith(_GZIP):
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield io.BufferedReader(cast(Any, unpacked), _BLOCK)
        elif head.startswith(_ZSTD):
            yield io.BufferedReader(ZstdReader(raw, _zstandard(path)), _BLOCK)
        else:
            yield cast(Any, raw)


def is_compressed(path: Path) -> bool:
    """Whether a file that can be read is gzip or zstd, by its content."""
    with path.open("rb") as content:
        return content.read(4).startswith((_GZIP, _ZSTD))


def needs_packages(path: Path) -> bool:
    """Whether a file takes packages to read that not every installation has: zstd and Parquet, by its content.

    Raises:
        InputError: the file is missing or not readable.
    """
    try:
        with path.open("rb") as content:
            return content.read(4).startswith((_ZSTD, _PARQUET))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}", "check the path") from error


def detect_format(path: Path, content: io.BufferedReader) -> RowFormat:
    """The format of decompressed content. The name decides only between kinds of text.

    Raises:
        InputError: the content is a JSON array or a document, not one row a line.
    """
    try:
        head = content.peek(4096)[:4096]
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}:1: the compressed file is damaged: {error}", "copy it again") from error
    if head.startswith(_PARQUET):
        return RowFormat.PARQUET
    _check_readable(path, head)
    text = _decoded(head).lstrip()
    suffix = next((part.lower() for part in reversed(path.suffixes) if part.lower() not in _PACKED), "")
    if suffix in _DELIMITERS:
        return RowFormat(suffix[1:])
    if text.startswith("["):
        raise InputError(f"{path}:1: a JSON array, not one row per line", f"convert it with: jq -c '.[]' {path}")
    first_line = text.partition("\n")[0]
    if suffix in (".jsonl", ".json", ".ndjson") or text.startswith("{") or not text:
        return RowFormat.JSON_LINES
    if "\t" in first_line:
        return RowFormat.TSV
    if "," in first_line:
        return RowFormat.CSV
    return RowFormat.JSON_LINES


def _check_readable(path: Path, head: bytes) -> None:
    """Refuse content that is not text, by its beginning."""
    for start, (kind, cure) in _FOREIGN.items():
        if head.startswith(start):
            raise InputError(f"{path}: {kind}", cure.format(path=path))
    if b"\0" in head and not head.startswith(_UTF16_MARKS):
        raise InputError(f"{path}: holds NUL bytes: not text, or UTF-16 without a byte order mark", "save it as UTF-8")


def _refuser(path: Path) -> OnProblem:
    def refuse(number: int, message: str) -> None:
        """Stop at the record."""
        raise InputError(f"{path}:{number}: {message}")

    return refuse


def _decoded(head: bytes) -> str:
    if head.startswith(_UTF16_MARKS):
        return head.decode("utf-16", errors="replace")
    return head.removeprefix(_UTF8_MARK).decode("utf-8", errors="replace")


def _encoding(content: io.BufferedReader) -> str:
    """The encoding of text, by its byte order mark."""
    if content.peek(2)[:2] in _UTF16_MARKS:
        return "utf-16"
    return "utf-8-sig"


def _json_lines(path: Path, content: io.BufferedReader, report: OnProblem) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(_lines(content), 1):
        if len(line) >= MOST_BYTES and not line.endswith(b"\n"):
            raise InputError(f"{path}:{number}: the row is longer than {MOST_BYTES >> 20} MB", "split it")
        text = line.strip()
        if text:
            yield number, text


def _lines(content: io.BufferedReader) -> Iterator[bytes]:
    """Lines as UTF-8 without a byte order mark, cut at the longest length that is read."""
    if _encoding(content) == "utf-16":
        decoded = io.TextIOWrapper(content, encoding="utf-16", newline="\n")
        while line := decoded.readline(MOST_BYTES):
            yield line.encode()
        return
    if content.peek(3).startswith(_UTF8_MARK):
        content.read(len(_UTF8_MARK))
    while packed := content.readline(MOST_BYTES):
        yield packed


def _delimited(
    path: Path, content: io.BufferedReader, report: OnProblem, delimiter: str
) -> Iterator[tuple[int, bytes]]:
    """Records as objects of text by the names of the header."""
    csv.field_size_limit(min(sys.maxsize, MOST_BYTES))
    text = io.TextIOWrapper(content, encoding=_encoding(content), newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        _check_header(path, header)
        before = reader.line_num
        for record in reader:
            first_line = before + 1
            before = reader.line_num
            if len(record) == len(header):
                yield first_line, orjson.dumps(dict(zip(header, record, strict=True)))
            elif record:
                report(first_line, f"{len(record)} cells, but the header on line 1 has {len(header)}")
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not valid CSV: {error}", "check the quotes") from error


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        return
    repeated = next((name for name in header if header.count(name) > 1), None)
    if "" in header:
        raise InputError(f"{path}:1: column {header.index('') + 1} has no name", "name every column in the first line")
    if repeated is not None:
        raise InputError(f"{path}:1: two columns are named {repeated!r}", "rename one")


def _parquet(path: Path, content: io.BufferedReader, report: OnProblem) -> Iterator[tuple[int, bytes]]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(f"{path}: a Parquet file, but pyarrow is not installed", _EXTRA) from error
    number = 0
    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=256):
                for record in batch.to_pylist():
                    number += 1
                    try:
                        text = exact_json.dumps_finite(record, default=_plain)
                    except exact_json.NotFiniteError as error:
                        report(number, f"{error}; write null or a number")
                        continue
                    yield number, text
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{path}:{number + 1}: not a readable Parquet file: {error}", "write it again") from error


def _plain(value: Any) -> Any:
    """What JSON has no type for, as text; bytes must be text."""
    if isinstance(value, bytes):
        return value.decode()
    return str(value)


def _zstandard(path: Path) -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise InputError(f"{path}: compressed with zstd, but zstandard is not installed", _EXTRA) from error
    return zstandard


_READERS: dict[RowFormat, Callable[[Path, io.BufferedReader, OnProblem], Iterator[tuple[int, bytes]]]] = {
    RowFormat.JSON_LINES: _json_lines,
    RowFormat.CSV: partial(_delimited, delimiter=","),
    RowFormat.TSV: partial(_delimited, delimiter="\t"),
    RowFormat.PARQUET: _parquet,
}
