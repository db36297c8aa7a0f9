"""Aggregate metrics: each agent is asked for its own view of its results, as upstream does (0.3 and later).

A run may have hundreds of thousands of results, so none of this holds them: of each there are four numbers in memory,
and its row is read when its turn comes. An agent whose answer to a sample is the baseline, as most are, is not sent the
rest: the baseline is computed here.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import orjson

from gymctl.config import exact_json
from gymctl.config.rows.row_fields import AGENT_REF, PARAMS
from gymctl.rollouts.files import disk_error, replacing
from gymctl.rollouts.history import ResultHead, lines_of
from gymctl.server.calls.client import HopFailed
from gymctl.server.metrics import Columns, baseline_metrics, group_metrics, key_metrics

if TYPE_CHECKING:
    from gymctl.server.calls.client import Client

MOST_S = 120.0  # for an agent to answer
FEW = 2000  # results that are sent without a sample before
_SAMPLE = 32
# A field's text of up to so many bytes goes along: labels and extracted answers do (majority votes need them),
# transcripts do not.
_FIELD_BYTES = 256
_STATE = "all results are written, only the metrics are not"
_HINT = "free disk space, then run the same command with --resume"
_PARTS = ("agent_metrics", "key_metrics", "group_level_metrics")


class _Response(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"null")


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_response = msgspec.json.Decoder(_Response)


@dataclass
class AgentMetrics:
    """Notes for the user on what was written, such as on an agent that did not answer."""

    notes: list[str] = field(default_factory=list)


class ResultIndex:
    """Where the results of one agent are in the output: task, repeat, offset and size of each."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._columns = tuple(array("q") for _ in range(4))

    def add(self, task: int, repeat: int, offset: int, size: int) -> None:
        """Note one result."""
        for column, value in zip(self._columns, (task, repeat, offset, size), strict=True):
            column.append(value)

    def __len__(self) -> int:
        return len(self._columns[0])

    def rows(self) -> Iterator[bytes]:
        """The results by task and repeat, without their heavy parts; of duplicates the first."""
        tasks, repeats, offsets, sizes = self._columns
        order = sorted(range(len(self)), key=lambda place: (tasks[place], repeats[place], offsets[place]))
        with self._output.open("rb") as results:
            for _, places in groupby(order, key=lambda place: (tasks[place], repeats[place])):
                place = next(places)
                results.seek(offsets[place])
                yield strip_result(results.read(sizes[place]))


def index_results(output: Path) -> dict[str, ResultIndex]:
    """The results of an output file by agent."""
    by_agent: dict[str, ResultIndex] = {}
    offset = 0
    for line, head in lines_of(output, ResultHead):
        if head is not None and not head.is_masked:
            by_agent.setdefault(head.agent.name, ResultIndex(output)).add(head.task, head.repeat, offset, len(line))
        offset += len(line)
    return by_agent


def strip_result(line: bytes) -> bytes:
    """A result without its heavy parts: some hundred bytes."""
    fields = {name: bytes(value) for name, value in _fields.decode(line).items() if name != PARAMS}
    parts = [
        b"%b:%b" % (orjson.dumps(name), value)
        for name, value in fields.items()
        if name != "response" and len(value) <= _FIELD_BYTES
    ]
    try:
        usage = bytes(_response.decode(fields.get("response", b"{}")).usage)
    except msgspec.MsgspecError:
        usage = b"null"
    if usage != b"null":
        parts.append(b'"response":{"usage":%b}' % usage)
    return b"{" + b",".join(parts) + b"}"


async def aggregate(
    output: Path, target: Path, client: Client, *, ask: bool = True, deadline_s: float = MOST_S
) -> AgentMetrics:
    """Ask every agent for ``/aggregate_metrics`` over its results and write the list of their answers.

    An agent that does not answer it (upstream's before 0.3, or one that is down) gets the baseline, computed here, and
    a note, as one does that takes longer than ``deadline_s``. Without ``ask`` none is asked.

    Raises:
        RunError: ``target`` could not be written.
    """
    metrics = AgentMetrics()
    indices = await asyncio.to_thread(index_results, output)
    with replacing(target, _STATE, _HINT) as out:
        out.write(b"[")
        for position, (name, index) in enumerate(sorted(indices.items())):
            out.write(b",\n" if position else b"\n")
            answer = None
            if ask and await _wants_all(client, name, index, min(deadline_s, MOST_S)):
                answer = await _ask(client, name, index.rows(), metrics.notes, min(deadline_s, MOST_S))
            if answer is None:
                await asyncio.to_thread(_write_baseline, name, index, out, target)
            else:
                entry = {AGENT_REF: {"name": name}, **{part: answer.get(part) for part in _PARTS}}
                out.write(msgspec.json.format(exact_json.dumps(entry), indent=2))
        out.write(b"\n]\n")
    return metrics


async def _wants_all(client: Client, name: str, index: ResultIndex, seconds: float) -> bool:
    """Whether to send an agent all of its results: not when its answer to a sample of many is the baseline."""
    if len(index) <= FEW:
        return True
    sample = list(islice(index.rows(), _SAMPLE))
    answer = await _ask(client, name, sample, [], seconds)
    if answer is None:
        return True
    baseline = exact_json.loads(exact_json.dumps(baseline_metrics([exact_json.loads(row) for row in sample])))
    return any(answer.get(part) != baseline[part] for part in _PARTS)


async def _ask(
    client: Client, name: str, rows: Iterable[bytes], notes: list[str], seconds: float
) -> dict[str, Any] | None:
    body = b'{"verify_responses":[' + b",".join(rows) + b"]}"
    try:
        reply = await client.ask(name, "/aggregate_metrics", body, deadline=time.monotonic() + seconds)
        answer = exact_json.loads(reply.body)
    except HopFailed as error:
        notes.append(f"{error.message[:300]}: using baseline metrics computed by gymctl")
        return None
    except ValueError:
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("agent_metrics"), dict):
        return answer
    notes.append(f"{name}: /aggregate_metrics returned no metrics; using baseline metrics computed by gymctl")
    return None


def _write_baseline(name: str, index: ResultIndex, out: BinaryIO, target: Path) -> None:
    """Write an agent's baseline. The groups, which come last, are set aside on the disk until all rows were read."""
    columns = Columns()
    try:
        with tempfile.TemporaryFile(dir=target.parent) as groups:
            rows = (exact_json.loads(row) for row in index.rows())
            for position, (task, some) in enumerate(groupby(rows, key=itemgetter("_ng_task_index"))):
                repeats = {row["_ng_rollout_index"]: row for row in some}
                for row in repeats.values():
                    columns.add(row)
                groups.write(b",\n" if position else b"\n")
                groups.write(exact_json.dumps(group_metrics(task, repeats)))
            agent = columns.describe()
            entry = {AGENT_REF: {"name": name}, "agent_metrics": agent, "key_metrics": key_metrics(agent)}
            out.write(msgspec.json.format(exact_json.dumps(entry), indent=2).rstrip()[:-1].rstrip())
            out.write(b',\n  "group_level_metrics": [')
            groups.seek(0)
            while block := groups.read(1 << 20):
                out.write(block)
            out.write(b"\n  ]\n}")
    except OSError as error:
        raise disk_error(error, target, _STATE, _HINT) from error
