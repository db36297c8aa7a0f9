"""Reading results files into an index, from where the index ends."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, replace
from typing import BinaryIO

import msgspec

from gymctl.results import tool_names
from gymctl.results.files import Mark, ResultsFiles, digests, is_continuation
from gymctl.results.row import RowFacts, read_row

Progress = Callable[[int, int], None]
"""Called with the bytes that are indexed and the bytes that there are."""

_BATCH_BYTES = 32 << 20
_BATCH_ROWS = 4096
_COLUMNS = (
    "file", "line", "offset", "length", "rank", "agent", "task", "repeat", "reward", "failure_class", "failure_hop",
    "terminal", "attempt", "model", "truncated", "turns", "tool_calls", "tool_errors", "tools", "tokens_in",
    "tokens_out", "queue_ms", "total_ms", "hops", "prompt", "numbers",
)  # fmt: skip
_INSERT = f"INSERT INTO rows ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"  # noqa: S608

_SAME_ROLLOUT = "one.task = other.task AND one.repeat = other.repeat AND one.agent = other.agent"
# Whether the row ``other`` takes precedence over ``one``: the higher rank; then the first result, or the last failure.
_PRECEDES = (
    "(other.rank > one.rank OR other.rank = one.rank AND CASE one.rank WHEN 0 "
    "THEN (other.file, other.line) > (one.file, one.line) ELSE (other.file, other.line) < (one.file, one.line) END)"
)
_SETTLE_NEW = (
    "UPDATE rows AS one SET current = 0 WHERE one.id > ? AND EXISTS "  # noqa: S608 - constants only
    f"(SELECT 1 FROM rows AS other WHERE {_SAME_ROLLOUT} AND {_PRECEDES})"
)
_SETTLE_OLD = (
    "UPDATE rows SET current = 0 WHERE id IN (SELECT one.id FROM rows AS other JOIN rows AS one "  # noqa: S608
    f"ON {_SAME_ROLLOUT} WHERE other.id > ? AND one.id <= ? AND one.current = 1 AND {_PRECEDES})"
)


@dataclass
class _Position:
    """Where the reading of a file is."""

    end: int
    lines: int
    unreadable: int
    within_line: bool
    """Whether ``end`` is the end of a row that had no newline yet."""


def read_marks(database: sqlite3.Connection) -> dict[int, Mark]:
    """How far each file was read."""
    columns = "file, inode, end, lines, unreadable, head, body, mtime_ns"
    rows = database.execute(f"SELECT {columns} FROM marks").fetchall()  # noqa: S608 - a constant
    return {
        file: Mark(
            inode=inode, end=end, lines=lines, unreadable=unreadable, head=head, body=body, mtime_ns=mtime_ns
        )
        for file, inode, end, lines, unreadable, head, body, mtime_ns in rows
    }  # fmt: skip


def is_complete(database: sqlite3.Connection, files: ResultsFiles) -> bool:
    """Whether an index has every byte of its files, torn last lines left out."""
    marks = read_marks(database)
    for file, path in enumerate(files.sources):
        try:
            source = path.open("rb")
        except FileNotFoundError:
            if file in marks:
                return False
            continue
        with source:
            mark = marks.get(file)
            if mark is None or not is_continuation(source, mark):
                return False
            source.seek(mark.end)
            rest = source.readline()
            if rest.endswith(b"\n") or read_row(rest) is not None:
                return False
    return True


def update(database: sqlite3.Connection, files: ResultsFiles, on_progress: Progress | None = None) -> bool:
    """Index what the files hold beyond the index; start over when one of them is another file than before.

    Each batch is one transaction, so other readers see the index grow, and several processes may do this at once.

    Returns:
        Whether the index was started over.

    Raises:
        OSError: a file cannot be read.
        sqlite3.Error: the index cannot be written.
    """
    restarted = False
    total = sum(path.stat().st_size for path in files.sources if path.exists())
    more = True
    while more:
        with database:  # commits, or rolls back when something is raised
            database.execute("BEGIN IMMEDIATE")
            if _is_stale(database, files):
                database.execute("DELETE FROM rows")
                database.execute("DELETE FROM marks")
                restarted = True
            more = _add_batch(database, files)
        if on_progress:
            on_progress(sum(mark.end for mark in read_marks(database).values()), total)
    return restarted


def _is_stale(database: sqlite3.Connection, files: ResultsFiles) -> bool:
    for file, mark in read_marks(database).items():
        try:
            with files.sources[file].open("rb") as source:
                if not is_continuation(source, mark):
                    return True
        except FileNotFoundError:
            return True
    return False


def _add_batch(database: sqlite3.Connection, files: ResultsFiles) -> bool:
    """Add the next batch of the first file that has more; False when none has."""
    for file, path in enumerate(files.sources):
        try:
            source = path.open("rb", buffering=1 << 20)
        except FileNotFoundError:
            continue
        with source:
            if _add_from(database, file, source):
                return True
    return False


def _add_from(database: sqlite3.Connection, file: int, source: BinaryIO) -> bool:
    mark = read_marks(database).get(file, Mark(inode=os.fstat(source.fileno()).st_ino))
    source.seek(max(0, mark.end - 1))
    within_line = source.read(min(1, mark.end)) not in (b"", b"\n")
    position = _Position(end=mark.end, lines=mark.lines, unreadable=mark.unreadable, within_line=within_line)
    _read_ahead(source, mark.end)
    last = database.execute("SELECT coalesce(max(id), 0) FROM rows").fetchone()[0]
    database.executemany(_INSERT, _records(file, source, position))
    database.execute(_SETTLE_NEW, (last,))
    database.execute(_SETTLE_OLD, (last, last))
    status = os.fstat(source.fileno())
    head, body = digests(source, position.end)
    mtime_ns = 0
    if status.st_size == position.end:
        mtime_ns = status.st_mtime_ns
    reached = replace(
        mark,
        end=position.end,
        lines=position.lines,
        unreadable=position.unreadable,
        head=head,
        body=body,
        mtime_ns=mtime_ns,
    )
    values = (file, *astuple(reached))
    database.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    return position.end > mark.end


def _read_ahead(source: BinaryIO, start: int) -> None:
    """Have the kernel fetch this batch and the next one while this one is parsed."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(source.fileno(), start, 2 * _BATCH_BYTES, os.POSIX_FADV_WILLNEED)


def _records(file: int, source: BinaryIO, position: _Position) -> Iterator[tuple[object, ...]]:
    """The records of the next batch of lines; ``position`` follows what was read."""
    start = position.end
    rows = 0
    while position.end - start < _BATCH_BYTES and rows < _BATCH_ROWS:
        line = source.readline()
        facts = read_row(line)
        if facts is None and not line.endswith(b"\n"):
            return  # the end of the file, or a line that is still being written
        offset = position.end
        position.end += len(line)
        position.lines += not position.within_line
        position.within_line = False
        rows += 1
        if facts is not None:
            yield _record(facts, file, position.lines, offset, len(line) - line.endswith(b"\n"))
        elif line.strip():
            position.unreadable += 1


def _record(facts: RowFacts, file: int, line: int, offset: int, length: int) -> tuple[object, ...]:
    return (
        file, line, offset, length, int(facts.rank), facts.agent, facts.task, facts.repeat, facts.reward,
        facts.failure_class, facts.failure_hop, facts.terminal, facts.attempt, facts.model, facts.truncated,
        facts.turns, facts.tool_calls, facts.tool_errors, tool_names.encode(facts.tools), facts.tokens_in,
        facts.tokens_out, facts.queue_ms, facts.total_ms, _json(facts.hops), facts.prompt, _json(facts.numbers),
    )  # fmt: skip


def _json(value: object) -> str | None:
    if not value:
        return None
    return msgspec.json.encode(value).decode()
