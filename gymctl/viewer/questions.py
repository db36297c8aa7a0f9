"""What the page asks about a run, answered from its index as JSON-ready data. All of it blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from starlette.datastructures import QueryParams

from gymctl.errors import InputError
from gymctl.results import (
    GroupSort,
    Index,
    Join,
    Measure,
    Query,
    RolloutRecord,
    Sort,
    compare,
    read_groups,
    read_histogram,
    read_names,
    read_stretches,
    read_totals,
    summarise,
)
from gymctl.results.payload import rollout_payload, transcript_payload
from gymctl.viewer.indexes import Indexes, RunIndex
from gymctl.viewer.parameters import PAGE, choice, flag, read_query, threshold, whole
from gymctl.viewer.runs import Run

_MOST_TEXT = 20_000
_MOST_RAW = 2 << 20
_MOST_HITS = 1000
_HITS_AT_ONCE = 50
_HITS_EVERY_S = 0.2
_EXCERPT = 90


def rollouts(index: RunIndex, values: QueryParams) -> dict[str, Any]:
    """A page of rollouts that filters select."""
    query = read_query(values)
    everything = replace(query, offset=0, limit=-1, sort=Sort.FILE, descending=False)
    page = index.read(lambda reader: reader.page(query))
    total = index.remembered(("count", everything), lambda reader: reader.count(everything))
    rows = [rollout_payload(rollout, query.pass_threshold) for rollout in page]
    return {"total": total, "offset": query.offset, "rollouts": rows}


def distributions(index: RunIndex, values: QueryParams) -> dict[str, Any]:
    """The histograms of the rollouts that filters select."""
    query = replace(read_query(values), offset=0, limit=-1)

    def question(reader: Index) -> list[dict[str, Any]]:
        """One histogram a measure, as JSON."""
        histograms = [asdict(read_histogram(reader, measure, query)) for measure in Measure]
        return [{**histogram, "measure": histogram["measure"].value} for histogram in histograms]

    return {"histograms": index.calculated(("distributions", query), question)}


def names(index: RunIndex) -> dict[str, Any]:
    """The names that filters offer."""
    return asdict(index.calculated("names", read_names))


def totals(index: RunIndex, values: QueryParams) -> dict[str, Any]:
    """The counts of a run."""
    least = threshold(values)
    return asdict(index.remembered(("totals", least), lambda reader: read_totals(reader, least)))


def summary(index: RunIndex, values: QueryParams) -> dict[str, Any]:
    """The statistics of a run per agent."""
    least = threshold(values)
    return asdict(index.calculated(("summary", least), lambda reader: summarise(reader, least)))


def stretches(index: RunIndex, values: QueryParams) -> dict[str, Any]:
    """How the measures of a run change over it."""
    least = threshold(values)
    agent = values.get("agent") or None
    answer = index.calculated(
        ("stretches", least, agent), lambda reader: read_stretches(reader, agent=agent, pass_threshold=least)
    )
    return {"stretches": [asdict(stretch) for stretch in answer]}


def groups(index: RunIndex, values: QueryParams) -> dict[str, Any]:
    """A page of the groups of a run."""
    agent = values.get("agent") or None
    sort = choice(values, "sort", GroupSort) or GroupSort.TASK
    mixed = bool(flag(values, "mixed"))
    descending = bool(flag(values, "desc"))
    offset = whole(values, "offset")
    least = threshold(values)
    page = index.read(
        lambda reader: read_groups(
            reader,
            agent=agent,
            mixed=mixed,
            pass_threshold=least,
            sort=sort,
            descending=descending,
            offset=offset,
            limit=PAGE,
        )
    )
    rows = [{**asdict(group), "zero_variance": group.zero_variance} for group in page.groups]
    return {"total": page.total, "offset": offset, "groups": rows, "threshold": least}


def rollout(index: RunIndex, values: QueryParams) -> dict[str, Any]:
    """One rollout: its facts, a page of its items, and its other rows."""
    least = threshold(values)
    offset = whole(values, "item")
    limit = min(PAGE, whole(values, "items", PAGE))
    most_text = _MOST_TEXT
    if flag(values, "full"):
        most_text = 1 << 62

    def question(reader: Index) -> dict[str, Any]:
        """The chosen rollout with its transcript, and the rows that it was chosen from."""
        rows = _rows(reader, values)
        chosen = _chosen(rows, values)
        transcript = transcript_payload(reader.transcript(chosen), offset=offset, limit=limit, most_text=most_text)
        return {
            "rollout": rollout_payload(chosen, least),
            "transcript": transcript,
            "rows": [{**rollout_payload(row, least), "attempt": row.attempt} for row in rows[:PAGE]],
            "place": {"file": reader.files.sources[chosen.file].name, "line": chosen.line, "bytes": chosen.length},
        }

    return index.read(question)


def raw(index: RunIndex, values: QueryParams) -> tuple[bytes, int]:
    """The start of a rollout's line, or with ``full`` all of it, and its length."""

    def question(reader: Index) -> bytes:
        """The bytes of the rollout's line."""
        return reader.read(_chosen(_rows(reader, values), values))

    line = index.read(question)
    if flag(values, "full"):
        return line, len(line)
    return line[:_MOST_RAW], len(line)


def new_rollouts(index: RunIndex, last_id: int, least: float) -> list[dict[str, Any]]:
    """The rows that were indexed after ``last_id``, at most a page."""
    rows = index.read(lambda reader: reader.since(last_id, PAGE))
    return [rollout_payload(row, least) for row in rows]


def find(index: RunIndex, values: QueryParams) -> Iterator[dict[str, Any]]:
    """The rollouts that contain a text, as they are found: batches of hits; the last one has ``done``."""
    text = values.get("text", "")
    ignore_case = bool(flag(values, "ignore_case"))
    query = replace(read_query(values), offset=0, limit=-1)
    count = 0
    with index.another() as reader:
        matches = reader.matches(text, ignore_case=ignore_case)
        for batch in _batches(matches):
            hits = _selected(reader, batch, query)[: _MOST_HITS - count]
            count += len(hits)
            yield {"hits": hits, "done": False}
            if count >= _MOST_HITS:
                break
        else:
            yield {"hits": [], "done": True, "all": True}
            return
    yield {"hits": [], "done": True, "all": False}


def comparison(indexes: Indexes, run_a: Run, run_b: Run, values: QueryParams) -> dict[str, Any]:
    """Two runs joined by task, all pairs; a page of them is taken by the caller."""
    join = choice(values, "join", Join) or Join.TASK
    agent = values.get("agent") or None
    least = threshold(values)
    with ExitStack() as stack:
        readers: dict[str, Index] = {}
        for run in sorted({run_a, run_b}, key=lambda run: run.id):
            readers[run.id] = stack.enter_context(indexes.of(run).another())
        result = compare(readers[run_a.id], readers[run_b.id], agent=agent, pass_threshold=least, join=join)
    data = asdict(result)
    data["join"] = result.join.value
    data["pairs"] = [
        {**asdict(pair), "change": pair.change.value, "difference": pair.difference} for pair in result.pairs
    ]
    return data


def _rows(reader: Index, values: QueryParams) -> list[RolloutRecord]:
    """Every row of the rollout that ``name`` and ``agent`` select, the one that counts first."""
    name = values.get("name", "")
    if name.startswith("#") and name[1:].isdecimal():
        row = reader.at_line(int(name[1:18]))
        return [row] if row is not None else []
    task, _, repeat = name.partition(":")
    if not (task.removeprefix("-").isdecimal() and (repeat or "0").isdecimal()) or len(name) > 36:
        raise InputError(f"name is {name[:40]!r}", "expected TASK:REPEAT or #LINE")
    return reader.rollout(int(task), int(repeat or 0), values.get("agent") or None)


def _chosen(rows: list[RolloutRecord], values: QueryParams) -> RolloutRecord:
    wanted_id = whole(values, "row")
    for row in rows:
        if wanted_id in (0, row.id):
            return row
    raise InputError("this run has no such rollout", "it may not be indexed yet, or the file was replaced")


def _batches(matches: Iterator[tuple[RolloutRecord, int]]) -> Iterator[list[tuple[RolloutRecord, int]]]:
    """Matches in batches that are soon full or soon old: the first hits are seen at once."""
    batch: list[tuple[RolloutRecord, int]] = []
    began = time.monotonic()
    for match in matches:
        batch.append(match)
        if len(batch) >= _HITS_AT_ONCE or time.monotonic() - began >= _HITS_EVERY_S:
            yield batch
            batch = []
            began = time.monotonic()
    if batch:
        yield batch


def _selected(reader: Index, batch: list[tuple[RolloutRecord, int]], query: Query) -> list[dict[str, Any]]:
    """Those of a batch that the filters select, with the text around the match as the file has it."""
    ids = tuple(rollout.id for rollout, _ in batch)
    selected = {rollout.id for rollout in reader.rollouts(replace(query, ids=ids)).rollouts}
    return [
        {**rollout_payload(rollout, query.pass_threshold), "excerpt": _excerpt(reader, rollout, offset)}
        for rollout, offset in batch
        if rollout.id in selected
    ]


def _excerpt(reader: Index, rollout: RolloutRecord, offset: int) -> str:
    start = max(rollout.offset, offset - _EXCERPT)
    length = min(rollout.offset + rollout.length - start, 3 * _EXCERPT)
    with reader.files.sources[rollout.file].open("rb") as source:
        source.seek(start)
        return source.read(length).decode("utf-8", "replace")
