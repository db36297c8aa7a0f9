"""The folder ``.gymctl`` of a directory, for this user only: its files' names, and how it is made and emptied."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gymctl.engines.atomic_files import new_file_mode, write_atomically
from gymctl.errors import EngineError

FOLDER = ".gymctl"
STATE_FILE = "stack.json"
SECRETS_FOLDER = "secrets"
CONFIGURATION_FILE = "configuration.json"
HISTORY_FILE = "history.jsonl"
PREVIOUS_FOLDER = "previous"
"""Files of the version before the one that runs."""
POLICY_TOKEN_FILE = "policy-token"  # noqa: S105 - the name of a file
METRICS_TOKEN_FILE = "metrics-token"  # noqa: S105 - the name of a file
ALERTMANAGER_FILE = "alertmanager.yaml"
TELEMETRY_FILE = "telemetry.json"
_SWARM_FILES = "swarm"  # configs that a stack file names
_TOKENS = (POLICY_TOKEN_FILE, METRICS_TOKEN_FILE)
_OWN_FILES = (STATE_FILE, CONFIGURATION_FILE, *_TOKENS, ALERTMANAGER_FILE, TELEMETRY_FILE, HISTORY_FILE)


def state_folder(directory: Path) -> Path:
    """``.gymctl`` of a directory, made when it is not there: entered by its owner only, ignored by git."""
    folder = directory / FOLDER
    try:
        make_own(folder)
        if not (folder / ".gitignore").exists():
            write_atomically(folder / ".gitignore", "*\n")
    except OSError as error:
        raise EngineError(
            f"{folder} cannot be written: {error.strerror}", "run gymctl in a writable directory"
        ) from error
    except EngineError:
        with suppress(OSError):
            folder.rmdir()  # only when there is nothing in it
        raise
    return folder


def make_own(folder: Path) -> None:
    """Make a folder that only this user enters, or take one that is there.

    Raises:
        EngineError: it is another user's, who could read and replace what is written to it.
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    owners = {folder.lstat().st_uid, folder.stat().st_uid}
    if owners != {os.geteuid()}:
        owner = next(iter(owners - {os.geteuid()}))
        raise EngineError(
            f"{folder} belongs to another user (uid {owner}), who could read its secrets",
            "run gymctl as that user, or in a directory of your own",
        )
    folder.chmod(0o700)


def clear_folder(directory: Path) -> None:
    """Remove what gymctl keeps in ``.gymctl``; the folder too, unless something else is in it."""
    folder = directory / FOLDER
    for name in _OWN_FILES:
        (folder / name).unlink(missing_ok=True)
    for name in (SECRETS_FOLDER, _SWARM_FILES, PREVIOUS_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)
    remove_empty_folder(folder)


def remove_empty_folder(folder: Path) -> None:
    """Remove ``.gymctl``, unless something is in it."""
    if folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {".gitignore"}:
        shutil.rmtree(folder, ignore_errors=True)


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write what a rendered file names: path relative to ``directory`` -> content.

    Raises:
        EngineError: one cannot be written.
    """
    for name, content in files.items():
        state_folder(directory)
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, mode=new_file_mode())
