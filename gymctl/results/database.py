"""The SQLite file of an index: its tables, and where it can be kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from gymctl.errors import GymctlError
from gymctl.results.files import ResultsFiles

_VERSION = 2  # changes with the tables, and with what a column means
_APPLICATION = 0x67796D78  # marks the file as an index of gymctl
_WAIT_S = 60.0
_CACHE_KB = 8192
_PAGE_BYTES = 16384  # filters scan an index: fewer, larger reads

# rows_place has every column that filters and orders read, in the order of the file: they scan it, not the table.
_TABLES = """
CREATE TABLE marks (
    file INTEGER PRIMARY KEY, inode INTEGER, end INTEGER, lines INTEGER, unreadable INTEGER,
    head BLOB, body BLOB, mtime_ns INTEGER
);
CREATE TABLE rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file INTEGER, line INTEGER, offset INTEGER, length INTEGER,
    current INTEGER DEFAULT 1, rank INTEGER, agent TEXT, task INTEGER, repeat INTEGER, reward REAL,
    failure_class TEXT, failure_hop TEXT, terminal INTEGER, attempt INTEGER, model TEXT, truncated INTEGER,
    turns INTEGER, tool_calls INTEGER, tool_errors INTEGER, tools TEXT, tokens_in INTEGER, tokens_out INTEGER,
    queue_ms REAL, total_ms REAL, hops TEXT, prompt BLOB, numbers TEXT
);
CREATE INDEX rows_rollout ON rows (task, repeat, agent);
CREATE INDEX rows_place ON rows (
    file, offset, current, agent, task, repeat, reward, failure_class, failure_hop, truncated, turns, tool_calls,
    tool_errors, tools, tokens_in, tokens_out, total_ms
);
CREATE INDEX rows_failure ON rows (agent, failure_class) WHERE failure_class IS NOT NULL;
"""


class NotAnIndexError(GymctlError):
    """The file under an index's name is something else, and is left alone."""


@dataclass(frozen=True)
class IndexPlace:
    """Where an index may be. ``temporary``: alone in a folder that was made for it."""

    path: Path
    temporary: bool = False

    def remove(self) -> None:
        """Remove a temporary folder and the index in it; other places stay."""
        if self.temporary:
            shutil.rmtree(self.path.parent, ignore_errors=True)


def places(files: ResultsFiles) -> Iterator[IndexPlace]:
    """Possible places of the index, best first: next to the file, in the user's cache, in a new temporary folder."""
    yield IndexPlace(files.index)
    digest = hashlib.sha256(os.fsencode(files.results)).hexdigest()[:32]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - "~" may have no home
    folder = Path(cache) / "gymctl" / "results"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        pass
    else:
        yield IndexPlace(folder / f"{digest}.index.sqlite")
    yield IndexPlace(Path(tempfile.mkdtemp(prefix="gymctl-results-"), f"{digest}.index.sqlite"), temporary=True)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open an index; one that is damaged or of another version is emptied, and a missing one is made.

    Raises:
        sqlite3.OperationalError: it cannot be written, or with ``read_only`` cannot be read.
        NotAnIndexError: the file is not an index of gymctl.
    """
    mode = "ro" if read_only else "rwc"
    address = f"{path.absolute().as_uri()}?mode={mode}"
    database = sqlite3.connect(address, uri=True, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    with ExitStack() as on_failure:
        on_failure.callback(database.close)
        _prepare(database, path, read_only=read_only)
        on_failure.pop_all()
    return database


def discard_damaged(path: Path) -> bool:
    """Remove a file that was an index of gymctl, by its header; False when it is something else, or not removable."""
    try:
        with path.open("rb") as file:
            header = file.read(72)
        if header[68:] != _APPLICATION.to_bytes(4, "big"):
            return False
        path.unlink()
    except OSError:
        return False
    return True


def _prepare(database: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        application = _pragma(database, "application_id")
        version = _pragma(database, "user_version")
        empty = not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise NotAnIndexError(f"{path}: not an index of gymctl") from error
    if application != _APPLICATION and not empty:
        raise NotAnIndexError(f"{path}: not an index of gymctl")
    if read_only:
        if version != _VERSION:
            raise sqlite3.OperationalError("an index of another version")
    else:
        database.execute("PRAGMA synchronous = OFF")  # an index can be made again
        if version != _VERSION:
            database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file
            _create(database)
    # last: SQLite turns it into a number of pages, of the size that they have then
    database.execute(f"PRAGMA cache_size = -{_CACHE_KB}")


def _create(database: sqlite3.Connection) -> None:
    with database:
        database.execute("BEGIN IMMEDIATE")
        if _pragma(database, "user_version") == _VERSION:
            return  # another process made it meanwhile
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            if name in ("rows", "marks"):
                database.execute(f"DROP TABLE {name}")
        for statement in _TABLES.split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {_APPLICATION}")
        database.execute(f"PRAGMA user_version = {_VERSION}")


def _pragma(database: sqlite3.Connection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])
