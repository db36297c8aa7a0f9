"""Which code a server runs, as a digest: rewards of two verifiers do not belong into one run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from gymctl.config.model import ServerInstance

_DIGITS = 16
_LARGE_BYTES = 16 << 20
# What no server reads when it runs.
_NOT_CODE = frozenset(("__pycache__", ".git", ".venv", "tests", ".pytest_cache", ".mypy_cache", ".ruff_cache"))
_NOT_READ = frozenset((".md", ".pyc", ".log"))


def code_digests(servers: Mapping[str, ServerInstance]) -> dict[str, str]:
    """Server name -> digest of its folder, for those whose folder is here."""
    digests: dict[Path, str] = {}
    named = {}
    for name, server in servers.items():
        if server.folder is None:
            continue
        if server.folder not in digests:
            digests[server.folder] = folder_digest(server.folder)
        named[name] = digests[server.folder]
    return named


def folder_digest(folder: Path) -> str:
    """16 hexadecimal digits of the files of a folder; of a large one its size and time count."""
    digest = hashlib.sha256()
    for path in sorted(code_files(folder)):
        digest.update(f"{path.relative_to(folder)}\n".encode("utf-8", "surrogateescape"))
        try:
            status = path.stat()
            if status.st_size > _LARGE_BYTES:
                digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
            else:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError:  # a link that leads nowhere, or a file of another user
            digest.update(b"unreadable")
    return digest.hexdigest()[:_DIGITS]


def code_files(folder: Path) -> Iterator[Path]:
    """The files of a server's folder that it may read when it runs."""
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if not _NOT_CODE.intersection(relative.parts) and path.suffix not in _NOT_READ and path.is_file():
            yield path
