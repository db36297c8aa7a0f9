"""Whatever lines a file has, however they arrive: the index is the same, and every row can be read."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_rows import failure, result

from gymctl.results import Index, Query, read_groups, summarise
from gymctl.results.row import RowFacts, read_row
from gymctl.results.transcript import read_transcript
from gymctl.results.values import loose_object

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(["", "message", "assistant", "tool"]),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
item = st.fixed_dictionaries(
    {},
    optional={
        "type": st.one_of(
            st.sampled_from(["message", "reasoning", "function_call", "function_call_output", "mcp_call"]), anything
        ),
        "role": st.one_of(st.sampled_from(["user", "assistant", "system", "tool"]), anything),
        "content": anything,
        "name": anything,
        "call_id": st.one_of(st.sampled_from(["a", "b"]), anything),
        "arguments": anything,
        "output": st.one_of(st.just('{"error": "x"}'), anything),
        "summary": anything,
        "tool_calls": anything,
        "reasoning_content": anything,
    },
)
items = st.one_of(st.lists(st.one_of(item, anything), max_size=4), anything)
response = st.one_of(
    anything,
    st.fixed_dictionaries(
        {},
        optional={
            "output": items,
            "usage": st.one_of(anything, st.fixed_dictionaries({"input_tokens": anything, "output_tokens": anything})),
            "model": anything,
            "status": anything,
            "incomplete_details": st.one_of(anything, st.fixed_dictionaries({"reason": anything})),
        },
    ),
)
index_value = st.one_of(st.integers(0, 3), anything)
row = st.fixed_dictionaries(
    {},
    optional={
        "_ng_task_index": index_value,
        "_ng_rollout_index": index_value,
        "agent_ref": st.one_of(st.just({"name": "a"}), anything),
        "task_source": anything,
        "reward": st.one_of(st.sampled_from([0, 1, 0.5, True]), anything),
        "response": response,
        "responses_create_params": st.one_of(
            anything, st.fixed_dictionaries({"input": items}, optional={"instructions": anything})
        ),
        "_gymctl_timing": st.one_of(
            anything,
            st.fixed_dictionaries({"queue_ms": anything, "total_ms": anything, "hops": anything}),
        ),
        "_ng_failure_class": anything,
        "_gymctl_failure": anything,
        "_ng_attempt_index": anything,
        "mask_sample": anything,
        "failure_kind": anything,
        "score": anything,
    },
)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


@given(row)
@settings(max_examples=100, deadline=None)
def test_any_row_is_read_and_its_transcript_can_be_made(value: dict[str, Any]) -> None:
    line = encoded(value)
    facts = read_row(line)
    assert facts is not None
    transcript = read_transcript(line)
    json.dumps(transcript.to_json(), default=str)
    for part in (*transcript.prompt, *transcript.items):
        for name in ("text", "role", "name", "arguments", "call_id"):
            assert isinstance(getattr(part, name, ""), str)
    assert (transcript.reward, transcript.tokens_in) == (facts.reward, facts.tokens_in)


@given(row)
@settings(max_examples=100, deadline=None)
def test_the_quick_reader_and_the_tolerant_one_agree(value: dict[str, Any]) -> None:
    line = encoded(value)
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError):
        return  # only the tolerant one reads it
    slow = loose_object(line)
    assert slow is not None
    noisy = line[:-1] + b', "_ng_x": NaN}' if len(value) else b'{"_ng_x": NaN}'
    assert read_row(noisy) == read_row(line)


@given(st.binary())
@settings(deadline=None)
def test_any_bytes_are_a_row_or_none(data: bytes) -> None:
    facts = read_row(data)
    assert facts is None or isinstance(facts, RowFacts)


def test_deep_nesting_is_survived() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    read_row(b'{"reward": 1, "x": ' + deep + b"}")
    read_row(b'{"response": {"output": [{"output": ' + deep + b"}]}}")
    read_row(b'{"responses_create_params": {"input": ' + deep + b"}}")


line = st.one_of(
    st.builds(result, st.integers(0, 3), st.integers(0, 2), st.sampled_from([0.0, 0.5, 1.0])).map(encoded),
    st.builds(failure, st.integers(0, 3), st.integers(0, 2), st.sampled_from(["timeout", "connect"])).map(encoded),
    st.builds(result, st.integers(0, 3), st.integers(0, 2), mask_sample=st.just(True)).map(encoded),
    row.map(encoded),
    st.sampled_from([b"", b"  ", b"[1]", b"{", b"\xff"]),
)


@pytest.fixture(autouse=True, scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def content(index: Index) -> list[Any]:
    columns = [name for _, name, *_ in index.sql.execute("PRAGMA table_info(rows)") if name != "id"]
    return index.sql.execute(f"SELECT {', '.join(columns)} FROM rows ORDER BY file, line").fetchall()


@given(
    st.lists(line, max_size=12),
    st.lists(st.one_of(st.builds(failure, st.integers(0, 3), st.integers(0, 2))).map(encoded), max_size=6),
    st.lists(st.floats(0, 1), max_size=4),
)
@settings(max_examples=25, deadline=None)
def test_an_index_that_was_extended_equals_one_that_was_made_at_once(
    lines: list[bytes], failures: list[bytes], cuts: list[float]
) -> None:
    data = b"".join(part + b"\n" for part in [encoded(result(9)), *lines])
    sidecar = b"".join(part + b"\n" for part in failures)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "r.jsonl")
        side = Path(folder, "r_failures.jsonl")
        once = Path(folder, "once.jsonl")
        once.write_bytes(data)
        Path(folder, "once_failures.jsonl").write_bytes(sidecar)
        path.write_bytes(data[: len(encoded(result(9))) + 1])
        with Index.open(path) as index, Index.open(once) as other:
            for cut in sorted([*cuts, 1.0]):
                path_end = max(len(encoded(result(9))) + 1, int(len(data) * cut))
                _extend(path, data[:path_end])
                _extend(side, sidecar[: int(len(sidecar) * cut)])
                assert not index.refresh()
            assert content(index) == content(other)
            assert index.unreadable_lines == other.unreadable_lines
            _check(index)


def _extend(path: Path, data: bytes) -> None:
    size = path.stat().st_size if path.exists() else 0
    with path.open("ab") as out:
        out.write(data[size:])


def _check(index: Index) -> None:
    """Each rollout has one row that counts, each row is read where the index says, and everything can be computed."""
    named = "task IS NOT NULL AND repeat IS NOT NULL"
    counting = index.sql.execute(
        f"SELECT count(*) FROM rows WHERE current AND {named} GROUP BY agent, task, repeat"
    ).fetchall()
    assert all(count == 1 for (count,) in counting)
    rollouts = index.sql.execute(
        f"SELECT count(*) FROM (SELECT DISTINCT agent, task, repeat FROM rows WHERE {named})"
    ).fetchone()[0]
    assert rollouts == len(counting)
    for rollout in index.rollouts(Query(attempts=True)).rollouts:
        transcript = index.transcript(rollout)
        assert (transcript.task, transcript.repeat, transcript.reward) == (rollout.task, rollout.repeat, rollout.reward)
    statistics = summarise(index)
    json.dumps(msgspec.to_builtins(statistics))
    assert sum(agent.rollouts + agent.failed + agent.masked for agent in statistics.agents) == index.rollouts().total
    assert read_groups(index).total == len(
        index.sql.execute("SELECT DISTINCT agent, task FROM rows WHERE current AND task IS NOT NULL").fetchall()
    )


def test_sqlite_is_new_enough() -> None:
    assert sqlite3.sqlite_version_info >= (3, 33)
