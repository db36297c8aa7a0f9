"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gymctl.errors import RunError

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


def disk_error(error: OSError, path: Path, state: str, hint: str) -> RunError:
    """A failed write as an error of ours; ``state`` says what is safe, ``hint`` what to do."""
    what = f"the disk of {path} is full" if error.errno in _FULL else f"cannot write {path}: {error.strerror or error}"
    return RunError(f"{what}: {state}", hint)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A writer beside ``path`` that takes its place when the block ends well, and vanishes when it does not.

    Raises:
        RunError: it could not be written; ``path`` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb", buffering=1 << 20) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except OSError as error:
        raise disk_error(error, path, "nothing was written", "make room or choose another output") from error
    finally:
        temporary.unlink(missing_ok=True)
