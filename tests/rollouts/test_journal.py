"""The journal holds whole lines only."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.errors import RunError
from gymctl.rollouts.journal import Journal, cut_torn_tail


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel writes what fits and then refuses: what a full disk does too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_counts_when_it_is_in_the_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out.jsonl")
    counted: list[str] = []
    journal.append(b"one", lambda: counted.append(journal.path.read_text()))
    assert counted == []
    journal.flush()
    assert counted == ["one\n"]
    journal.close()


def test_who_keeps_a_line_waits_until_it_is_in_the_file(tmp_path: Path) -> None:
    async def keep() -> list[str]:
        journal = Journal(tmp_path / "out.jsonl")
        await journal.keep(b"one")
        lines = journal.path.read_text().splitlines()
        journal.close()
        return lines

    assert asyncio.run(keep()) == ["one"]


def test_slow_writes_are_made_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []

    def slow_write(descriptor: int, data: bytes) -> int:
        time.sleep(0.02)
        writes.append(bytes(data).count(b"\n"))
        return write(descriptor, data)

    async def keep() -> None:
        journal = Journal(tmp_path / "out.jsonl")
        await journal.keep(b"first")
        began = time.monotonic()
        await asyncio.gather(*(journal.keep(b"later") for _ in range(50)))
        assert time.monotonic() - began >= 0.03  # a rest as long as the first write took, then a second one
        journal.close()

    write = os.write
    monkeypatch.setattr(os, "write", slow_write)
    asyncio.run(keep())
    assert writes == [1, 50]


def test_nobody_is_told_that_a_line_is_kept_which_is_not(tmp_path: Path) -> None:
    async def keep() -> list[BaseException | None]:
        journal = Journal(tmp_path / "out.jsonl")
        await journal.keep(b"first line")
        journal._rests_until = time.monotonic() + 0.02  # as after a slow write: the next lines share a batch
        with files_of_at_most(16):
            outcomes = await asyncio.gather(*(journal.keep(b"another") for _ in range(3)), return_exceptions=True)
        os.close(journal._descriptor)
        return outcomes

    assert [type(outcome) for outcome in asyncio.run(keep())] == [RunError] * 3
    assert (tmp_path / "out.jsonl").read_text() == "first line\n"


def test_a_megabyte_is_written_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out.jsonl")
    journal.append(b"x" * (1 << 20))
    assert journal.lines == 1
    journal.close()


def test_a_full_disk_keeps_the_whole_lines_that_fit(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out.jsonl")
    counted: list[int] = []
    for number in range(10):
        journal.append(b"%09d" % number, lambda number=number: counted.append(number))  # type: ignore[misc]
    with files_of_at_most(45), pytest.raises(RunError, match=r"4 lines of this run are safely written.*--resume"):
        journal.flush()
    assert counted == [0, 1, 2, 3]
    assert journal.path.read_text().splitlines() == [f"{number:09d}" for number in range(4)]
    journal.append(b"after")
    journal.close()
    assert journal.path.read_text().endswith("000000003\nafter\n")


def test_two_writers_are_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out.jsonl")
    with pytest.raises(RunError, match="another collection"):
        Journal(tmp_path / "out.jsonl")
    journal.close()
    Journal(tmp_path / "out.jsonl").close()


@given(
    whole=st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"")), max_size=5),
    torn=st.binary(max_size=20),
)
def test_only_a_torn_tail_is_cut(tmp_path_factory: pytest.TempPathFactory, whole: list[bytes], torn: bytes) -> None:
    torn = torn.replace(b"\n", b"")
    path = tmp_path_factory.mktemp("journal") / "out.jsonl"
    expected = b"".join(line + b"\n" for line in whole)
    path.write_bytes(expected + torn)
    assert cut_torn_tail(path) == len(torn)
    assert path.read_bytes() == expected


def test_a_torn_line_longer_than_a_block_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"whole\n" + b"x" * 200_000)
    assert cut_torn_tail(path) == 200_000
    assert path.read_bytes() == b"whole\n"
