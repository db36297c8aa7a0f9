"""The files of a directory's stack as they were: what an update that fails, and ``gymctl rollback``, return to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from gymctl.engines.atomic_files import new_file_mode, write_atomically
from gymctl.engines.own_folder import (
    CONFIGURATION_FILE,
    FOLDER,
    PREVIOUS_FOLDER,
    SECRETS_FOLDER,
    STATE_FILE,
    state_folder,
)
from gymctl.engines.secret_files import write_secrets
from gymctl.engines.state import StackState, find_state


@dataclass(frozen=True)
class SavedStack:
    """One version of a stack."""

    state: StackState
    text: str
    """The rendered file."""
    secrets: dict[str, str] = field(repr=False)
    """Values by name."""
    records: dict[str, bytes] = field(repr=False)
    """Content of the state's own files, by their names in ``.gymctl``."""

    def is_other_than(self, later: SavedStack | None) -> bool:
        """Whether a later version has other containers or secrets."""
        return later is None or (self.text, self.secrets) != (later.text, later.secrets)


def read_stack(directory: Path) -> SavedStack | None:
    """The Compose stack that was started last in a directory; None without one, or if its rendered file is gone."""
    return _read(directory, directory / FOLDER)


def read_previous(directory: Path) -> SavedStack | None:
    """The version before the one that runs; None if there is none."""
    folder = directory / FOLDER / PREVIOUS_FOLDER
    return _read(folder, folder / FOLDER)


def _read(place: Path, folder: Path) -> SavedStack | None:
    state = find_state(folder.parent)
    if state is None or state.engine != "compose" or not (place / state.compose_file).is_file():
        return None
    return SavedStack(
        state=state,
        text=(place / state.compose_file).read_text("utf-8"),
        secrets=dict(_secrets(folder / SECRETS_FOLDER)),
        records={
            name: (folder / name).read_bytes() for name in (STATE_FILE, CONFIGURATION_FILE) if (folder / name).is_file()
        },
    )


def _secrets(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*")):
        if path.is_file():
            yield path.name, path.read_bytes().decode("utf-8", "surrogateescape")


def restore(directory: Path, saved: SavedStack) -> None:
    """Make a version's files those of the directory again.

    Raises:
        EngineError: one cannot be written.
    """
    write_secrets(directory, saved.secrets)
    for name, content in saved.records.items():
        write_atomically(state_folder(directory) / name, content)
    write_atomically(directory / saved.state.compose_file, saved.text, mode=new_file_mode())


def keep_as_previous(directory: Path, saved: SavedStack) -> None:
    """Keep a version for ``read_previous``, in place of the one that was kept before.

    Raises:
        EngineError: a file cannot be written.
    """
    place = state_folder(directory) / PREVIOUS_FOLDER
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    restore(place, saved)


def images_of(saved: SavedStack | None) -> set[str]:
    """The images that a version's services use, by name; none if its rendered file is not one any more."""
    if saved is None:
        return set()
    try:
        services = yaml.safe_load(saved.text)["services"]
        return {service["image"] for service in services.values()}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):
        return set()
