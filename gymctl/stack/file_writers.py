"""Servers of NeMo Gym that write files next to their code: what an agent installs at its start, data sets, results."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_WRITES = re.compile(
    r"\b(?:mkdir|makedirs|mkdtemp|copytree|snapshot_download|urlretrieve|extractall)\(|\.open\(['\"][wxa]|"
    r"\bopen\([^()]*,\s*['\"][wxa]|write_(?:text|bytes)\(|git['\"]?,? ['\"]?clone|\bnpm\b"
)
_IMPORT = re.compile(r"^\s*(?:from\s+(\S+)\s+import\s+([\w ,(]+)|import\s+([\w., ]+))", re.MULTILINE)
_NAME = re.compile(r"\w+")


@lru_cache(maxsize=256)
def writes_files(folder: Path, entrypoint: str) -> bool:
    """Whether the code that a server runs, its entrypoint and the modules that this imports, writes files anywhere."""
    return any(_WRITES.search(text) for text in _texts(folder, folder / entrypoint))


def _texts(folder: Path, entrypoint: Path) -> Iterator[str]:
    """The text of the entrypoint and of every module of the folder that is imported from there, near and far."""
    pending = [entrypoint]
    read: set[Path] = set()
    while pending:
        path = pending.pop()
        if path in read or not path.is_file():
            continue
        read.add(path)
        text = path.read_text(encoding="utf-8", errors="replace")
        yield text
        for name in _imported_names(text):
            for parent in {folder, path.parent}:
                pending.append(parent / f"{name}.py")
                pending += sorted((parent / name).rglob("*.py")) if (parent / name).is_dir() else ()


def _imported_names(text: str) -> set[str]:
    """Every part of a module's name, and every name imported from one, in a module's text."""
    return {name for match in _IMPORT.finditer(text) for part in match.groups() if part for name in _NAME.findall(part)}
