"""The files of a directory's stack as they were: what an update that fails, and ``gymctl rollback``, return to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from gymctl.config.vocabulary import EDGE_TOKEN
from gymctl.engines.atomic_files import new_file_mode, write_atomically
from gymctl.engines.own_folder import (
    ALERTMANAGER_FILE,
    CONFIGURATION_FILE,
    FOLDER,
    METRICS_TOKEN_FILE,
    POLICY_TOKEN_FILE,
    PREVIOUS_FOLDER,
    SECRETS_FOLDER,
    STATE_FILE,
    TELEMETRY_FILE,
    state_folder,
)
from gymctl.engines.secret_files import write_secrets
from gymctl.engines.state import StackState, find_state
from gymctl.engines.token_files import EDGE_CA_FILE, EDGE_CERTIFICATE_FILE, EDGE_TOKEN_FILE

_RECORDS = {
    STATE_FILE: 0o600,
    CONFIGURATION_FILE: 0o600,
    POLICY_TOKEN_FILE: 0o600,
    METRICS_TOKEN_FILE: 0o600,
    ALERTMANAGER_FILE: 0o600,
    TELEMETRY_FILE: 0o600,
    EDGE_TOKEN_FILE: 0o600,
    EDGE_CERTIFICATE_FILE: 0o600,
    EDGE_CA_FILE: 0o644,
}
"""Modes of the files in ``.gymctl`` that belong to a version."""


@dataclass(frozen=True)
class SavedStack:
    """One version of a stack."""

    state: StackState
    text: str
    """The rendered file."""
    secrets: dict[str, str] = field(repr=False)
    """Values by name."""
    records: dict[str, bytes] = field(repr=False)
    """Content of the files in ``.gymctl`` that belong to it, by their names: state, tokens, certificates."""

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
    secrets = dict(_secrets(folder / SECRETS_FOLDER))
    return SavedStack(
        state=state,
        text=(place / state.compose_file).read_text("utf-8"),
        secrets=secrets,
        records=dict(_records(folder, secrets)),
    )


def _secrets(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*")):
        if path.is_file():
            yield path.name, path.read_bytes().decode("utf-8", "surrogateescape")


def _records(folder: Path, secrets: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    for name in _RECORDS:
        if (folder / name).is_file():
            yield name, (folder / name).read_bytes()
    if EDGE_TOKEN in secrets:  # users remove the file to get another token
        yield EDGE_TOKEN_FILE, f"{secrets[EDGE_TOKEN]}\n".encode()


def restore(directory: Path, saved: SavedStack) -> None:
    """Make a version's files those of the directory again.

    Raises:
        EngineError: one cannot be written.
    """
    write_secrets(directory, saved.secrets)
    restore_records(directory, saved)
    write_atomically(directory / saved.state.compose_file, saved.text, mode=new_file_mode())


def restore_records(directory: Path, saved: SavedStack) -> None:
    """Make a version's files in ``.gymctl`` those of the directory again; what it did not have stays.

    Raises:
        EngineError: one cannot be written.
    """
    for name, content in saved.records.items():
        write_atomically(state_folder(directory) / name, content, mode=_RECORDS[name])


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
