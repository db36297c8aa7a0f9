"""One row of the input: parsed with its numbers as they are, checked, and given the index of its task."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping
from typing import Any

import msgspec

from gymctl.config import exact_json
from gymctl.config.rows.row_fields import PARAMS, TASK_INDEX

_LARGEST_INDEX = (1 << 63) - 1
_OF_RUNS = ("_ng_", "_gymctl_")
"""Prefixes of the fields that a run adds; the rest of a row makes it the task that it is."""
_OF_RESULTS = "response"
"""A field that only results have, in which the rest depends on what the model answered."""


class BadRowError(Exception):
    """A row that cannot be used; the message explains why and what is expected."""


def parse_row(text: bytes) -> dict[str, Any]:
    """A row's value.

    Raises:
        BadRowError: it is not a JSON object, or holds a decimal that an environment would see as infinity or zero.
    """
    try:
        row = exact_json.loads(text)
    except ValueError as error:
        problem = exact_json.explain(text)
        if problem:
            raise BadRowError(problem) from error
        hint = "give one JSON object per line"
        if text in (b"[", b"{"):
            hint += " (jq -c '.[]' converts an array)"
        raise BadRowError(f"invalid JSON ({error}); {hint}") from error
    if not isinstance(row, dict):
        raise BadRowError(f"the row is {_kind(row)}; it must be a JSON object")
    place = exact_json.beyond_float(text, row)
    if place is not None:
        raise BadRowError(f"{place} is outside the range of a float; write it as a string or use a smaller number")
    return row


def params_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The create params of a row.

    Raises:
        BadRowError: they are not an object.
    """
    params = row.get(PARAMS)
    if not isinstance(params, dict):
        if params is None:
            state = "no"
        else:
            state = "a malformed"
        raise BadRowError(f'the row has {state} {PARAMS}; it must be an object such as {{"input": [...]}}')
    return params


def check_input(params: Mapping[str, Any]) -> None:
    """Check that create params have an input that a model can be asked.

    Raises:
        BadRowError: they have not.
    """
    question = params.get("input")
    if question is None:
        raise BadRowError(f"{PARAMS} has no input; it must be a string or a list of messages")
    if not isinstance(question, str | list):
        raise BadRowError(f"{PARAMS}.input is {_kind(question)}; it must be a string or a list of messages")
    for index, item in enumerate(question if isinstance(question, list) else ()):
        if not isinstance(item, dict):
            raise BadRowError(f"{PARAMS}.input[{index}] is {_kind(item)}; it must be an object such as a message")


class TaskIndices:
    """Indices of tasks: those that rows bring, and for the others one for each distinct text.

    Memory: a 16-byte digest and a line number for each distinct row.
    """

    def __init__(self) -> None:
        self._counted: dict[bytes, int] = {}
        self._lines_counted = array("q")
        self._brought: dict[int, tuple[bytes, int]] = {}

    def index_of(self, line: int, row: Mapping[str, Any], text: bytes) -> int:
        """The index of the task of the row on a line.

        Raises:
            BadRowError: the index that the row brings is not one, or another task has it.
        """
        index = row.get(TASK_INDEX)
        if index is None:
            return self._count(line, text)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index <= _LARGEST_INDEX:
            raise BadRowError(f"{TASK_INDEX} is {index!r}; it must be a whole number, 0 or more")
        if index < len(self._lines_counted):
            raise _clash(index, self._lines_counted[index], "remove it from all rows or set it in every row")
        digest = _task_digest(row)
        owner, first_line = self._brought.setdefault(index, (digest, line))
        if owner != digest:
            raise _clash(index, first_line, "give each task its own index, or remove it from all rows")
        return index

    def _count(self, line: int, text: bytes) -> int:
        digest = hashlib.blake2b(text, digest_size=16).digest()
        index = self._counted.setdefault(digest, len(self._counted))
        if index == len(self._lines_counted):
            self._lines_counted.append(line)
            if index in self._brought:
                cure = "another row without an index would get it; remove it from all rows or set it in every row"
                raise _clash(index, self._brought[index][1], cure)
        return index


def _clash(index: int, line: int, cure: str) -> BadRowError:
    return BadRowError(f"{TASK_INDEX} {index} is also the index of another task, on line {line}; {cure}")


def _task_digest(row: Mapping[str, Any]) -> bytes:
    """What makes a row its task. Of a result that is the question and the agent: the rest is of one rollout."""
    fields = {name: value for name, value in row.items() if not name.startswith(_OF_RUNS)}
    if _OF_RESULTS in row:
        fields = {name: fields.get(name) for name in (PARAMS, "agent_ref")}
    text = msgspec.json.encode(fields, order="sorted")
    return hashlib.blake2b(text, digest_size=16).digest()


def _kind(value: Any) -> str:
    names = {list: "a list", dict: "an object", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
