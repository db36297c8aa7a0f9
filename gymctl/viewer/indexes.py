"""The open indexes of the runs on the page, each used by one thread at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from gymctl.errors import GymctlError
from gymctl.results import Index
from gymctl.viewer.runs import Run

Value = TypeVar("Value")

_MOST_OPEN = 8
_MOST_ANSWERS = 16


class _Reader:
    """An index that one thread at a time uses, and its answers to questions that are asked repeatedly."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._lock = threading.Lock()
        self._answers: OrderedDict[object, tuple[int, Any]] = OrderedDict()

    @contextmanager
    def use(self) -> Iterator[Index]:
        """The index, once no other thread uses it."""
        with self._lock, _index_errors(self.index):
            yield self.index

    def remembered(self, key: object, question: Callable[[Index], Value]) -> Value:
        """Answer a question; an earlier answer to the same key is given as long as no row was added since."""
        with self.use() as index:
            last = index.last_id
            if key in self._answers and self._answers[key][0] == last:
                self._answers.move_to_end(key)
                value: Value = self._answers[key][1]
                return value
            value = question(index)
            self._answers[key] = (last, value)
            if len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
            return value

    def close(self) -> None:
        """Close the index once no other thread uses it."""
        with self._lock:
            self.index.close()


class RunIndex:
    """One run: an index for lists, one for statistics, which take longer, and one that is extended meanwhile.

    An index that cannot be shared, in a temporary folder, is all three.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._lists = _Reader(Index.open(run.path, complete=False))
        self._statistics = self._lists
        self._writer = self._lists
        if self._lists.index.shared:
            self._statistics = _Reader(Index.open(run.path, complete=False))
            self._writer = _Reader(Index.open(run.path, complete=False))

    def read(self, question: Callable[[Index], Value]) -> Value:
        """Ask the index. Waits while another thread does."""
        with self._lists.use() as index:
            return question(index)

    def remembered(self, key: object, question: Callable[[Index], Value]) -> Value:
        """As ``read``, but an earlier answer to the same key is given as long as no row was added since."""
        return self._lists.remembered(key, question)

    def calculated(self, key: object, question: Callable[[Index], Value]) -> Value:
        """As ``remembered``, for a question that takes long: lists do not wait for it."""
        return self._statistics.remembered(key, question)

    def refresh(self) -> bool:
        """Index what was appended since; True when the file was replaced."""
        with self._writer.use() as index:
            return index.refresh()

    def size(self) -> int:
        """Bytes of the files now."""
        return sum(path.stat().st_size for path in self._lists.index.files.sources if path.exists())

    @contextmanager
    def another(self) -> Iterator[Index]:
        """An index of its own for a question that takes long, where there can be several."""
        if self._lists.index.shared:
            with Index.open(self.run.path, complete=False) as index, _index_errors(index):
                yield index
        else:
            with self._lists.use() as index:
                yield index

    def close(self) -> None:
        """Close every index."""
        for reader in {self._lists, self._statistics, self._writer}:
            reader.close()


class Indexes:
    """The indexes that are open: the ones that were asked last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[str, RunIndex] = OrderedDict()

    def of(self, run: Run) -> RunIndex:
        """The index of a run, opened when it is not.

        Raises:
            InputError: the file is missing or not one of rows.
            GymctlError: there is nowhere to write an index.
        """
        with self._lock:
            index = self._open.get(run.id)
            if index is None:
                index = RunIndex(run)
                self._open[run.id] = index
            self._open.move_to_end(run.id)
            if len(self._open) > _MOST_OPEN:
                _, oldest = self._open.popitem(last=False)
                threading.Thread(target=oldest.close, daemon=True).start()  # it may be in use for a while
            return index

    def close(self) -> None:
        """Close all."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()


@contextmanager
def _index_errors(index: Index) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise GymctlError(
            f"{index.place}: {error}", "reload the page; remove the file if that does not help"
        ) from error
