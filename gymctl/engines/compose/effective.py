"""A rendered file as Compose understands it, with the override file of its directory applied. Writes nothing there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymctl.engines.compose.command import compose_command
from gymctl.engines.runner import run


@dataclass(frozen=True)
class EffectiveFile:
    """A rendered text, and what Compose makes of it."""

    text: str
    document: dict[str, Any]
    """It with absolute paths and long forms; each ``$`` is doubled."""
    digests: dict[str, str]
    """Compose's digest of each service."""


def effective_file(name: str, file: Path, text: str) -> EffectiveFile:
    """What Compose makes of the rendered ``text``, as if it were in ``file``.

    Raises:
        CommandFailed: Compose does not accept the text, or an override file.
    """
    lines = (line.split() for line in _config(name, file, text, "--hash", "*").splitlines())
    return EffectiveFile(
        text=text,
        document=json.loads(_config(name, file, text, "--format", "json")),
        digests={parts[0]: parts[1] for parts in lines if len(parts) == 2},
    )


@contextmanager
def draft_command(name: str, file: Path, text: str, *arguments: str) -> Iterator[list[str]]:
    """A ``docker compose`` command that reads ``text`` as if it were in ``file``, for as long as the block runs."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as draft:
        draft.write(text)
        draft.flush()
        command = compose_command(name, file, *arguments)
        command[command.index(str(file))] = draft.name
        yield command


def _config(name: str, file: Path, text: str, *options: str) -> str:
    with draft_command(name, file, text, "config", *options) as command:
        return run(command, cwd=file.parent, timeout=60).stdout
