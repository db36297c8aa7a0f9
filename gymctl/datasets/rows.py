"""Rows as objects: parsed strictly, with the line at fault in every message."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gymctl.config.rows.row_files import read_rows
from gymctl.datasets.prompts import RowError
from gymctl.errors import InputError

MOST_LISTED = 20
_MOST_LETTERS = 500
_KINDS = {list: "a list", str: "text", bool: "true or false", type(None): "null"}


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large for a number")
    return value


_decode = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode


def parse_row(text: bytes) -> dict[str, Any]:
    """One JSON object.

    Raises:
        RowError: it is not valid UTF-8, not JSON, or not an object; with the column of the fault.
    """
    try:
        row = _decode(text.decode())
    except UnicodeDecodeError as error:
        raise RowError(f"column {error.start + 1} is not UTF-8; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise RowError(f"not JSON: {_lower(error.msg)} at column {error.colno}; write one object per line") from error
    except (ValueError, RecursionError) as error:
        raise RowError(f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise RowError(f"the row is {_KINDS.get(type(row), 'a number')}; it must be an object")
    return row


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def one_line(message: object) -> str:
    """A message that may quote a row: on one line, without control characters, not longer than a few lines."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(message)[:_MOST_LETTERS])
    return " ".join(text.split())


@dataclass
class RowProblems:
    """What is wrong with rows: all are counted, the first of them listed."""

    count: int = 0
    listed: list[str] = field(default_factory=list)

    def add(self, path: Path, line: int, message: object) -> None:
        """A row at ``path:line`` cannot be used."""
        self.count += 1
        if len(self.listed) < MOST_LISTED:
            self.listed.append(f"{path}:{line}: {one_line(message)}")

    def raise_if_any(self, hint: str) -> None:
        """Stop with the list.

        Raises:
            InputError: there is a problem.
        """
        if self.count:
            lines = list(self.listed)
            if self.count > len(lines):
                lines.append(f"... and {self.count - len(lines)} more rows")
            raise InputError("\n".join([*lines, hint]))


def read_objects(path: Path, problems: RowProblems) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a file as (line, object); those that are not objects go to ``problems``.

    Raises:
        InputError: the file cannot be read.
    """
    for line, _, row in read_parsed(path, problems):
        yield line, row


def read_parsed(path: Path, problems: RowProblems) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """As ``read_objects``, with each row's text: (line, text, object)."""
    for line, text in read_rows(path, lambda line, message: problems.add(path, line, message)):
        try:
            row = parse_row(text)
        except RowError as error:
            problems.add(path, line, error)
            continue
        yield line, text, row
