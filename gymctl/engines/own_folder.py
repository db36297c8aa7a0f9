"""The folder ``.gymctl`` of a directory, apart from what is in it."""

from __future__ import annotations

import shutil
from pathlib import Path


def remove_empty_folder(folder: Path) -> None:
    """Remove ``.gymctl``, unless something is in it."""
    if folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {".gitignore"}:
        shutil.rmtree(folder, ignore_errors=True)
