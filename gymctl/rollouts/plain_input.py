"""Input files for a collector that lacks the packages to read them: its container has no pyarrow and no zstandard."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gymctl.config.rows.row_files import needs_packages, read_rows


@contextmanager
def plain_input(path: Path) -> Iterator[Path]:
    """A file of the same name with the same rows on the same lines as JSON; the file itself where it needs no package.

    Raises:
        InputError: it cannot be read, or a record in it is not a row; with file and line.
    """
    if not needs_packages(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="gymctl-input-") as folder:
        plain = Path(folder) / path.name
        with plain.open("wb", buffering=1 << 20) as lines:
            line = 1
            for number, text in read_rows(path):
                lines.write(b"\n" * (number - line) + text + b"\n")
                line = number + 1
        plain.chmod(0o644)  # the container's user is another one
        yield plain
