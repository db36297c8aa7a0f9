"""The files of the page, read once: nothing else of the disk can be asked for by a path."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from gymctl import assets

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """A file of the page."""

    content: bytes
    media_type: str
    etag: str


def page_files() -> dict[str, PageFile]:
    """Every file by its path below ``static/``."""
    top = assets.viewer_files()
    return {
        path.relative_to(top).as_posix(): _read(path)
        for path in sorted(top.rglob("*"))
        if path.suffix in _MEDIA_TYPES and path.is_file()
    }


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    return PageFile(content, _MEDIA_TYPES[path.suffix], etag)
