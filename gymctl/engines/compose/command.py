"""The ``docker compose`` command of a directory's stack, and the files that it reads."""

from __future__ import annotations

import os
from pathlib import Path

# As Compose looks for them next to a compose.yaml: the first one counts.
_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)


def override_file(directory: Path) -> Path | None:
    """The file that ``docker compose`` lays over a directory's ``compose.yaml`` by itself; None when there is none."""
    return next((path for name in _OVERRIDES if (path := directory / name).is_file()), None)


def compose_command(name: str, file: Path, *arguments: str) -> list[str]:
    """A command for the stack ``name`` of the rendered ``file``, as ``docker compose`` in its directory would read it.

    An override file is applied, as Compose does without ``--file``. The rendered file itself has no variables, so a
    ``.env`` is read for an override file only: it may be another program's, which Compose cannot read.
    """
    override = override_file(file.parent)
    command = ["docker", "compose", "--ansi", "never", "--progress", "plain"]
    command += ["--project-name", name, "--project-directory", str(file.parent), "--file", str(file)]
    if override:
        command += ["--file", str(override)]
    else:
        command += ["--env-file", os.devnull]
    return [*command, *arguments]


def orphans_command(name: str, *arguments: str) -> list[str]:
    """A command for a stack whose file is missing or unreadable; it reads an empty document from standard input."""
    return ["docker", "compose", "--project-name", name, "--env-file", os.devnull, "--file", "-", *arguments]
