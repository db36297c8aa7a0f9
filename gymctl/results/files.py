"""The files of a run: where they are, and whether one is still the file that an index was made from."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gymctl.errors import InputError
from gymctl.results.row import read_row

_FIRST_LINES = 20
_HEAD_BYTES = 1 << 16
_TAIL_BYTES = 1 << 12
# Places between head and tail, evenly spread, at which a file is compared with what was indexed.
_SAMPLES = 16
_SAMPLE_BYTES = 256


@dataclass(frozen=True)
class ResultsFiles:
    """A results file and what belongs to it. Only ``results`` has to exist."""

    results: Path
    """The JSONL file, symbolic links followed."""
    failures: Path
    """Failed attempts."""
    record: Path
    """What the run was started with."""
    index: Path
    """Path of the index, unless the folder is read-only."""

    @property
    def sources(self) -> tuple[Path, Path]:
        """The files that are indexed; a row's ``file`` is the position in this tuple."""
        return self.results, self.failures

    @classmethod
    def of(cls, path: Path) -> ResultsFiles:
        """The files of the run whose results are at ``path``.

        Raises:
            InputError: it does not exist, or is not a regular file.
        """
        real = Path(os.path.realpath(path))
        try:
            mode = real.stat().st_mode
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}", "pass the output file of a collection") from error
        if not stat.S_ISREG(mode):
            raise InputError(f"{path}: not a regular file", "pass the output file of a collection, a JSONL file")
        return cls(
            results=real,
            failures=real.with_name(f"{real.stem}_failures.jsonl"),
            record=real.with_name(f"{real.stem}_run.json"),
            index=real.with_name(f"{real.stem}.index.sqlite"),
        )


def check_rows(path: Path) -> None:
    """Check that a file looks like one of rows, before an index is made of it.

    Raises:
        InputError: it cannot be read, or its first lines are not JSON objects.
    """
    try:
        with path.open("rb") as source:
            lines = [source.readline() for _ in range(_FIRST_LINES)]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "check its permissions") from error
    complete = [line for line in lines if line.endswith(b"\n") and line.strip()]
    if complete and all(read_row(line) is None for line in complete):
        raise InputError(f"{path}:1: not a JSON object", "pass the output file of a collection, a JSONL file")


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far a file was read, and enough of it to recognise it."""

    inode: int
    end: int = 0
    """Bytes that were read: whole lines."""
    lines: int = 0
    unreadable: int = 0
    """Lines, blank ones left out, that are not JSON objects."""
    head: bytes = b""
    """Digest of the first line, or of the start of a long one."""
    body: bytes = b""
    """Digest of samples between the first line and ``end``, and of the last bytes before it."""
    mtime_ns: int = 0
    """Time of the last change; 0 when the file had more than was read."""


def digests(source: BinaryIO, end: int) -> tuple[bytes, bytes]:
    """The digests of a file's head and of its body before ``end``; moves the file's position."""
    source.seek(0)
    head = source.read(min(end, _HEAD_BYTES)).partition(b"\n")[0]
    body = bytearray()
    for number in range(_SAMPLES):
        start = end * number // _SAMPLES
        source.seek(start)
        body += source.read(min(end - start, _SAMPLE_BYTES))
    source.seek(max(0, end - _TAIL_BYTES))
    body += source.read(min(end, _TAIL_BYTES))
    return _digest(head), _digest(bytes(body))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def is_continuation(source: BinaryIO, mark: Mark) -> bool:
    """Whether a file begins with what was read from it before: the same file, appended to at most."""
    status = os.fstat(source.fileno())
    if status.st_ino != mark.inode or status.st_size < mark.end:
        return False
    rewritten = status.st_size == mark.end and mark.mtime_ns not in (0, status.st_mtime_ns)
    return not rewritten and digests(source, mark.end) == (mark.head, mark.body)
