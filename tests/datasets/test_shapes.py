"""Rows of other shapes become rows of NeMo Gym, by themselves or by a mapping file."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from data_folder import ROW, DataFolder
from hypothesis import given, settings
from hypothesis import strategies as st

from gymctl.datasets.chat_input import input_of_messages
from gymctl.datasets.create_params import validated
from gymctl.server.chat import Style, messages_of

CHAT_TOOL = {"type": "function", "function": {"name": "t", "description": "d", "parameters": {"type": "object"}}}
FLAT_TOOL = {"type": "function", "name": "t", "description": "d", "parameters": {"type": "object"}, "strict": None}
MESSAGES = [
    {"role": "system", "content": "s"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "u"}, {"type": "image_url", "image_url": {"url": "http://x/i"}}],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "function": {"name": "t", "arguments": '{"a":1}'}}],
    },
    {"role": "tool", "tool_call_id": "1", "content": "r"},
    {"role": "user", "content": "again"},
]
ITEMS = [
    {"role": "system", "content": "s"},
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "u"},
            {"type": "input_image", "image_url": "http://x/i", "detail": "auto"},
        ],
    },
    {"type": "function_call", "call_id": "1", "name": "t", "arguments": '{"a":1}'},
    {"type": "function_call_output", "call_id": "1", "output": "r"},
    {"role": "user", "content": "again"},
]
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "native": (ROW, ROW["responses_create_params"]),
    "messages": ({"messages": MESSAGES, "tools": [CHAT_TOOL]}, {"input": ITEMS, "tools": [FLAT_TOOL]}),
    "prompt": ({"prompt": "x"}, {"input": [{"role": "user", "content": "x"}]}),
    "prompt of messages": ({"prompt": MESSAGES[:1]}, {"input": ITEMS[:1]}),
    "responses": (
        {"input": "x", "temperature": 0.5, "tools": [FLAT_TOOL]},
        {"input": "x", "temperature": 0.5, "tools": [FLAT_TOOL]},
    ),
}


def prepare(folder: DataFolder, name: str, *options: str) -> list[dict[str, Any]]:
    """The prepared rows of one file."""
    folder.declare({"name": "rows", "type": "train", "jsonl_fpath": name})
    code, _, err = folder.prepare(*options)
    assert code == 0, err
    return folder.prepared()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_recognised_by_its_columns(shape: str, data_folder: DataFolder) -> None:
    row, params = SHAPES[shape]
    data_folder.rows("rows.jsonl", {**row, "answer": "4"})
    (prepared,) = prepare(data_folder, "rows.jsonl")
    assert prepared["responses_create_params"] == params
    assert set(prepared) == {"responses_create_params", "answer", "agent_ref", "task_source"}


def packed(kind: str) -> bytes:
    """The same two rows in a kind of file."""
    rows = [{"messages": [{"role": "user", "content": text}], "answer": "1"} for text in ("a", "b")]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if kind == "parquet":
        target = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), target)
        return target.getvalue()
    if kind == "csv":
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(rows[0])
        writer.writerows((json.dumps(row["messages"]), row["answer"]) for row in rows)
        return table.getvalue().encode()
    if kind == "jsonl":
        return text
    if kind == "gzip":
        return gzip.compress(text)
    return zstandard.compress(text)


@pytest.mark.parametrize("kind", ["jsonl", "gzip", "zstd", "parquet", "csv"])
def test_every_kind_of_file(kind: str, data_folder: DataFolder) -> None:
    data_folder.write("rows", packed(kind))
    rows = prepare(data_folder, "rows")
    assert [row["responses_create_params"]["input"][0]["content"] for row in rows] == ["a", "b"]
    assert [row["answer"] for row in rows] == ["1", "1"]


def test_a_mapping_file(data_folder: DataFolder) -> None:
    data_folder.write("rows.csv", "q,gold,id\n2+2?,4,7\n")
    data_folder.write(
        "map.yaml",
        "prompt: {system: Be brief., user: 'Q: {question}'}\n"
        "columns: {q: question, gold: expected_answer}\n"
        "drop: [id]\n"
        "params: {temperature: 0.5}\n",
    )
    (row,) = prepare(data_folder, "rows.csv", "--mapping", "map.yaml")
    assert row["responses_create_params"] == {
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q: 2+2?"}],
        "temperature": 0.5,
    }
    assert (row["question"], row["expected_answer"], "id" in row) == ("2+2?", "4", False)


def test_a_mapping_for_one_data_set(data_folder: DataFolder) -> None:
    data_folder.rows(
        "rows.jsonl", {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
    )
    data_folder.write("map.yaml", "answer: wrong\ndatasets: {rows: {answer: gold}}\n")
    (row,) = prepare(data_folder, "rows.jsonl", "--mapping", "map.yaml")
    assert row["gold"] == "y"
    assert len(row["responses_create_params"]["input"]) == 1


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("colums: {a: b}", "map.yaml:1: colums: Extra inputs are not permitted; did you mean 'columns'?"),
        ("shape: mesages", "map.yaml:1: shape: Input should be"),
        ("prompt: {user: '{'}", "map.yaml:1: prompt: Value error, the template is malformed"),
        ("datasets: {rows: {shape: 1}}", "map.yaml:1: shape: "),
        ("columns: {b: c}", "rows.jsonl:1: the mapping renames the column 'b', which is missing; the row has"),
        ("columns: {prompt: answer}", "rows.jsonl:1: the mapping creates two columns 'answer'"),
        ("shape: messages", "rows.jsonl:1: messages is empty or not a list"),
    ],
)
def test_a_wrong_mapping_is_refused(mapping: str, message: str, data_folder: DataFolder) -> None:
    data_folder.rows("rows.jsonl", {"prompt": "x", "answer": 1})
    data_folder.write("map.yaml", mapping + "\n")
    data_folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "rows.jsonl"})
    code, _, err = data_folder.prepare("--mapping", "map.yaml")
    assert code == 2
    assert message in err


TEXT = st.text(min_size=1, max_size=5)
TURNS = st.lists(
    st.one_of(
        st.builds(lambda text: {"role": "user", "content": text}, TEXT),
        st.builds(lambda text: {"role": "system", "content": text}, TEXT),
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(TURNS, st.dictionaries(TEXT, st.integers()))
def test_messages_survive_the_way_there_and_back(turns: list[Any], arguments: dict[str, int]) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "t", "arguments": json.dumps(arguments)}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    messages = [*turns, asked, {"role": "tool", "content": "r", "tool_call_id": "c"}]
    items = input_of_messages(messages)
    assert validated({"input": items})["input"] == items
    assert messages_of(items, Style()) == messages
