"""The index of a results file: rollouts by filter and order, one row by its place, without reading the file again."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from gymctl.errors import GymctlError, InputError
from gymctl.results import database
from gymctl.results.builder import Progress, is_complete, read_marks, update
from gymctl.results.files import ResultsFiles, check_rows
from gymctl.results.query import Query
from gymctl.results.rollout import COLUMNS, Page, RolloutRecord, read_rollout
from gymctl.results.row import read_row
from gymctl.results.search import SearchText, matching_offsets
from gymctl.results.transcript import Transcript, read_transcript


class Index:
    """An open index. One thread at a time may use it; every thread or process can open one of its own."""

    def __init__(
        self, path: Path, files: ResultsFiles, connection: sqlite3.Connection, place: database.IndexPlace
    ) -> None:
        """Use ``open``."""
        self.path = path
        """The results file as it was named."""
        self.files = files
        self._place = place
        self.sql = connection
        """For the statistics of this room; tables as in ``database``."""

    @classmethod
    def open(cls, path: Path, on_progress: Progress | None = None, *, complete: bool = True) -> Self:
        """Open the index of a results file, made or brought up to date first.

        Without ``complete`` it is opened as it is; ``refresh`` of this or another index of the file brings it up to
        date, and what is indexed can be read meanwhile.

        It is kept beside the file; where that folder is read-only, in the user's cache, or in a temporary folder.

        Raises:
            InputError: the file is missing, not a regular file, or cannot be read.
            GymctlError: there is nowhere to write an index.
        """
        files = ResultsFiles.of(path)
        check_rows(files.results)
        reason: Exception = OSError("no place")
        for place in database.places(files):
            try:
                connection = _connect_or_replace(place.path, files, on_progress, complete=complete)
            except (sqlite3.Error, database.NotAnIndexError) as error:
                reason = error
                place.remove()
                continue
            except OSError as error:
                place.remove()
                raise InputError(f"{error.filename or path}: {error.strerror}", "check its permissions") from error
            return cls(path, files, connection, place)
        raise GymctlError(f"{path}: cannot write an index: {reason}", "set TMPDIR to a directory that is writable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the index; one in a temporary folder is removed."""
        self.sql.close()
        self._place.remove()

    @property
    def place(self) -> Path:
        """Where the index is."""
        return self._place.path

    @property
    def shared(self) -> bool:
        """Whether other ``Index`` objects of the file use the same place; not so for one in a temporary folder."""
        return not self._place.temporary

    def refresh(self, on_progress: Progress | None = None) -> bool:
        """Index what was appended since; True when a file was replaced and the index made again.

        Raises:
            InputError: the results file no longer exists.
            GymctlError: the index cannot be written.
        """
        ResultsFiles.of(self.files.results)
        if is_complete(self.sql, self.files):
            return False
        try:
            return update(self.sql, self.files, on_progress)
        except sqlite3.Error as error:
            raise GymctlError(f"{self.place}: {error}", "remove the file; it will be rebuilt") from error

    @property
    def unreadable_lines(self) -> int:
        """Lines of the files that are not JSON objects; torn last lines are not counted."""
        return sum(mark.unreadable for mark in read_marks(self.sql).values())

    @property
    def indexed_bytes(self) -> int:
        """Bytes of the files that are indexed."""
        return sum(mark.end for mark in read_marks(self.sql).values())

    @property
    def last_id(self) -> int:
        """The id of the row that was indexed last; 0 when there is none."""
        return int(self.sql.execute("SELECT coalesce(max(id), 0) FROM rows").fetchone()[0])

    def rollouts(self, query: Query | None = None) -> Page:
        """The rollouts that a query selects, and how many there are without its page.

        Raises:
            InputError: with ``text``, a file cannot be read.
        """
        query = query or Query()
        if query.text:
            self._find_rows(query)
        return Page(self._page(query), self._count(query))

    def page(self, query: Query) -> tuple[RolloutRecord, ...]:
        """The rollouts of ``rollouts``, without counting those of other pages."""
        if query.text:
            self._find_rows(query)
        return self._page(query)

    def count(self, query: Query) -> int:
        """How many rollouts a query selects on all its pages together."""
        if query.text:
            self._find_rows(query)
        return self._count(query)

    def last_id_before(self, count: int) -> int:
        """The id before the last ``count`` rows: ``since`` it, these are listed."""
        statement = "SELECT id FROM rows ORDER BY id DESC LIMIT 1 OFFSET ?"
        row = self.sql.execute(statement, (count,)).fetchone()
        if row is None:
            return 0
        return int(row[0])

    def at_line(self, line: int) -> RolloutRecord | None:
        """The row in a line of the results file."""
        row = self.sql.execute(f"SELECT {COLUMNS} FROM rows WHERE file = 0 AND line = ?", (line,)).fetchone()  # noqa: S608
        if row is None:
            return None
        return read_rollout(row)

    def since(self, last_id: int, limit: int = 1000) -> list[RolloutRecord]:
        """Rows that were indexed after ``last_id``, every attempt included, oldest first. Ids are never used again."""
        statement = f"SELECT {COLUMNS} FROM rows WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - constants
        return [read_rollout(row) for row in self.sql.execute(statement, (last_id, limit))]

    def rollout(self, task: int, repeat: int, agent: str | None = None) -> list[RolloutRecord]:
        """Every row of one rollout, the one that counts first. Of several agents' when ``agent`` is None."""
        rows = self.rollouts(Query(tasks=(task,), repeats=(repeat,), attempts=True)).rollouts
        chosen = [row for row in rows if agent in (None, row.agent)]
        current = {row[0] for row in self.sql.execute("SELECT id FROM rows WHERE task = ? AND current = 1", (task,))}
        return sorted(chosen, key=lambda rollout: rollout.id not in current)

    def read(self, rollout: RolloutRecord) -> bytes:
        """The line of a rollout, without its newline.

        Raises:
            GymctlError: the file has been replaced since.
        """
        path = self.files.sources[rollout.file]
        try:
            with path.open("rb") as source:
                source.seek(rollout.offset)
                line = source.read(rollout.length)
        except OSError as error:
            raise GymctlError(f"{path}: {error.strerror}", "run the command again") from error
        facts = read_row(line)
        if facts is None or (facts.task, facts.repeat) != (rollout.task, rollout.repeat):
            raise GymctlError(f"{path}: replaced while it was being read", "run the command again")
        return line

    def transcript(self, rollout: RolloutRecord) -> Transcript:
        """The rollout as a conversation.

        Raises:
            GymctlError: as ``read``.
        """
        return read_transcript(self.read(rollout))

    def matches(self, text: str, *, ignore_case: bool = False) -> Iterator[tuple[RolloutRecord, int]]:
        """Rows that contain a text, in the files' order, each with the offset in its file of the first match."""
        for file, offset in self._offsets(SearchText(text, ignore_case)):
            statement = f"SELECT {COLUMNS} FROM rows WHERE file = ? AND offset <= ? ORDER BY offset DESC LIMIT 1"  # noqa: S608
            row = self.sql.execute(statement, (file, offset)).fetchone()
            if row is not None and offset < row[3] + row[4]:
                yield read_rollout(row), offset

    def _offsets(self, text: SearchText) -> Iterator[tuple[int, int]]:
        for file, mark in sorted(read_marks(self.sql).items()):
            path = self.files.sources[file]
            try:
                source = path.open("rb", buffering=0)
            except OSError as error:
                raise InputError(f"{path}: {error.strerror}", "check its permissions") from error
            with source:
                for offset in matching_offsets(source, text, mark.end):
                    yield file, offset

    def _page(self, query: Query) -> tuple[RolloutRecord, ...]:
        where, parameters = query.where()
        order = query.order()
        # the rows of the page are read after the narrow sort, by id
        chosen = f"SELECT id FROM rows {where} {order} LIMIT ? OFFSET ?"  # noqa: S608
        statement = f"SELECT {COLUMNS} FROM rows WHERE id IN ({chosen}) {order}"  # noqa: S608
        rows = self.sql.execute(statement, (*parameters, query.limit, query.offset))
        return tuple(read_rollout(row) for row in rows)

    def _count(self, query: Query) -> int:
        where, parameters = query.where()
        statement = f"SELECT count(*) FROM rows {where}"  # noqa: S608
        return int(self.sql.execute(statement, parameters).fetchone()[0])

    def _find_rows(self, query: Query) -> None:
        """Put the ids of the rows that contain the query's text into a temporary table."""
        self.sql.execute("CREATE TEMP TABLE IF NOT EXISTS found (id INTEGER PRIMARY KEY)")
        self.sql.execute("DELETE FROM temp.found")
        ids = ((rollout.id,) for rollout, _ in self.matches(query.text, ignore_case=query.ignore_case))
        self.sql.executemany("INSERT OR IGNORE INTO temp.found VALUES (?)", ids)


def _connect_or_replace(
    place: Path, files: ResultsFiles, on_progress: Progress | None, *, complete: bool
) -> sqlite3.Connection:
    try:
        return _connect(place, files, on_progress, complete=complete)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        if not database.discard_damaged(place):
            raise
    return _connect(place, files, on_progress, complete=complete)


def _connect(place: Path, files: ResultsFiles, on_progress: Progress | None, *, complete: bool) -> sqlite3.Connection:
    if place.exists() and not os.access(place, os.W_OK):
        connection = database.connect(place, read_only=True)
        if is_complete(connection, files):
            return connection
        connection.close()
        raise sqlite3.OperationalError("the index is out of date and read-only")
    # whoever may not read the results may not read their index either
    mode = (files.results.stat().st_mode | 0o600) & 0o666
    with suppress(OSError):  # SQLite's message describes the problem with the place
        os.close(os.open(place, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, mode))
    connection = database.connect(place)
    with ExitStack() as on_failure:
        on_failure.callback(connection.close)
        if complete and not is_complete(connection, files):
            update(connection, files, on_progress)
        on_failure.pop_all()
    return connection
