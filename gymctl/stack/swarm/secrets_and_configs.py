"""Secrets and configs, with a digest in the name: Swarm cannot change one, so new content needs a new name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from gymctl.errors import Problem
from gymctl.stack.compose.model import ComposeDocument, StoredFile
from gymctl.stack.swarm.options import SwarmOptions
from gymctl.stack.swarm.report import TranslationReport

FILES_DIR = "./.gymctl/swarm"  # of what a stack file can only name: inline configs

_LONGEST_NAME = 64  # of a secret or config in a swarm
_LARGEST = {"secrets": 500_000, "configs": 1_000_000}  # bytes that a swarm stores (Engine API documentation)

Stored = dict[str, StoredFile]


def translate_stored(
    document: ComposeDocument, stack: str, options: SwarmOptions, report: TranslationReport, problems: list[Problem]
) -> tuple[dict[str, Stored | None], dict[str, bytes]]:
    """The document's ``secrets`` and ``configs``, and the files to write: path relative to the stack file -> bytes."""
    files: dict[str, bytes] = {}
    stored: dict[str, Stored | None] = {}
    for kind, items in (("secrets", document.secrets), ("configs", document.configs)):
        known = _contents(items or {}, options)
        problems += _too_large(kind, known)
        now = dict(items or {})
        for key, content in known.items():
            name = stored_name(stack, now[key].name or key, content, slow=kind == "secrets")
            file = now[key].file
            if now[key].content is not None:
                file = f"{FILES_DIR}/{name}"
                files[file] = content
                report.translated(f"{kind}.{key}.content", f"the file {file}: a stack file cannot include it")
            now[key] = now[key].model_copy(update={"name": name, "file": file, "content": None})
        stored[kind] = now or None
        _say(kind, now, known, report)
    return stored, files


def _contents(items: Mapping[str, StoredFile], options: SwarmOptions) -> dict[str, bytes]:
    """What is known to be in them, by key."""
    contents = {}
    for key, item in items.items():
        if item.content is not None:
            contents[key] = item.content.encode()
        elif not item.external and item.file in options.contents:
            contents[key] = options.contents[str(item.file)]
    return contents


def _too_large(kind: str, known: Mapping[str, bytes]) -> list[Problem]:
    return [
        Problem(
            f"{kind}.{key}",
            f"{key} has {len(content):,} bytes; Swarm's limit is {_LARGEST[kind]:,}",
            "put it into the image or a volume",
        )
        for key, content in known.items()
        if len(content) > _LARGEST[kind]
    ]


def _say(kind: str, now: Stored, known: Mapping[str, bytes], report: TranslationReport) -> None:
    if known:
        report.translated(
            kind, f"{', '.join(known)}: names include a digest; a change restarts the services that use it"
        )
    if unknown := [key for key, item in now.items() if key not in known and not item.external]:
        report.lost(kind, f"{', '.join(unknown)}: no digest in the name, so a changed one cannot be deployed")


def stored_name(stack: str, key: str, content: bytes, *, slow: bool) -> str:
    """The name of a secret or config: of the stack, its key, and 12 hexadecimal digits that change with the content.

    ``slow`` makes them of a function that takes its time (50 ms), so that nobody guesses a short secret by its name.
    """
    salt = f"{stack}/{key}".encode()
    if slow:
        digest = hashlib.scrypt(content, salt=salt, n=2**14, r=8, p=1, dklen=6).hex()
    else:
        digest = hashlib.sha256(salt + b"\0" + content).hexdigest()[:12]
    return f"{f'{stack}_{key}'[: _LONGEST_NAME - len(digest) - 1]}_{digest}"
