"""Writers of rows: JSON lines, CSV, and Parquet with a schema for each form, so that no value changes its type."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any, BinaryIO, Protocol

from gymctl.datasets.options import ExportTarget, Kind
from gymctl.errors import InputError

_BATCH = 256


class Form(StrEnum):
    """Forms of rows that have a Parquet schema."""

    CHAT = "chat"
    TASK = "task"
    TOKENS = "tokens"
    TABLE = "table"


class RowWriter(Protocol):
    """Takes rows one at a time."""

    def write(self, row: dict[str, Any]) -> None:
        """Add a row."""

    def close(self) -> None:
        """Write what is left. The file stays open."""


class JsonLines:
    """One JSON object a line."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target

    def write(self, row: dict[str, Any]) -> None:
        """Add a row."""
        self._target.write(json.dumps(row).encode() + b"\n")

    def close(self) -> None:
        """Nothing is left to write."""


class CsvTable:
    """A header and one record a row; null is an empty cell."""

    def __init__(self, target: BinaryIO) -> None:
        self._text = io.TextIOWrapper(target, encoding="utf-8", newline="")
        self._writer = csv.writer(self._text)
        self._has_header = False

    def write(self, row: dict[str, Any]) -> None:
        """Add a row."""
        if not self._has_header:
            self._writer.writerow(row)
            self._has_header = True
        self._writer.writerow(row.values())

    def close(self) -> None:
        """Write what is left."""
        self._text.flush()
        self._text.detach()


class ParquetTable:
    """Batches of rows with a fixed schema."""

    def __init__(self, target: BinaryIO, form: Form) -> None:
        try:
            import pyarrow as arrow
            from pyarrow import parquet
        except ImportError as error:
            raise InputError("pyarrow is not installed", "install it with: pip install 'gymctl[data]'") from error
        self._arrow = arrow
        self._schema = _SCHEMAS[form](arrow)
        self._writer = parquet.ParquetWriter(target, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, row: dict[str, Any]) -> None:
        """Add a row."""
        self._rows.append(row)
        if len(self._rows) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
            self._rows.clear()

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._writer.close()


def _chat_type(arrow: Any) -> Any:
    function = arrow.struct([("name", arrow.string()), ("arguments", arrow.string())])
    call = arrow.struct([("id", arrow.string()), ("type", arrow.string()), ("function", function)])
    return arrow.list_(
        arrow.struct(
            [
                ("role", arrow.string()),
                ("content", arrow.string()),
                ("reasoning_content", arrow.string()),
                ("tool_calls", arrow.list_(call)),
                ("tool_call_id", arrow.string()),
            ]
        )
    )


def _chat_schema(arrow: Any) -> Any:
    return arrow.schema([("messages", _chat_type(arrow)), ("tools", arrow.string())])


def _task_schema(arrow: Any) -> Any:
    reward_model = arrow.struct([("style", arrow.string()), ("ground_truth", arrow.string())])
    extra = arrow.struct([("index", arrow.int64()), ("pass_rate", arrow.float64()), ("tools", arrow.string())])
    return arrow.schema(
        [
            ("data_source", arrow.string()),
            ("prompt", _chat_type(arrow)),
            ("ability", arrow.string()),
            ("reward_model", reward_model),
            ("extra_info", extra),
        ]
    )


def _token_schema(arrow: Any) -> Any:
    numbers = ("task_index", "rollout_index", "group_size", "turns")
    lists = (("prompt_ids", arrow.int64()), ("completion_ids", arrow.int64()), ("mask", arrow.int8()))
    return arrow.schema(
        [
            *((name, arrow.int64()) for name in numbers),
            ("agent", arrow.string()),
            ("reward", arrow.float64()),
            ("group_complete", arrow.bool_()),
            *((name, arrow.list_(kind)) for name, kind in lists),
            ("logprobs", arrow.list_(arrow.float64())),
        ]
    )


def _table_schema(arrow: Any) -> Any:
    numbers = ("task_index", "rollout_index", "tool_calls", "input_tokens", "output_tokens")
    return arrow.schema(
        [
            *((name, arrow.int64()) for name in numbers),
            *((name, arrow.string()) for name in ("agent", "question", "answer", "messages")),
            ("reward", arrow.float64()),
            ("group_complete", arrow.bool_()),
        ]
    )


_SCHEMAS: dict[Form, Callable[[Any], Any]] = {
    Form.CHAT: _chat_schema,
    Form.TASK: _task_schema,
    Form.TOKENS: _token_schema,
    Form.TABLE: _table_schema,
}

FORMS: dict[tuple[ExportTarget, Kind | None], Form] = {
    (ExportTarget.VERL, Kind.SFT): Form.CHAT,
    (ExportTarget.VERL, Kind.GRPO): Form.TASK,
    (ExportTarget.PARQUET, None): Form.TABLE,
    **{(target, Kind.TOKENS): Form.TOKENS for target in ExportTarget},
}
"""The Parquet form of each target and kind that has one."""
