"""What a directory knows about its stack: ``.gymctl/``, for this user only. No secret is in ``stack.json``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gymctl.errors import EngineError, InputError

FOLDER = ".gymctl"
_STATE = "stack.json"
_SECRETS = "secrets"
_SWARM_FILES = "swarm"  # configs that a stack file names


@dataclass(frozen=True)
class ServerAddress:
    """One server of a stack and where it is reached: by service name inside the stack's network.

    ``replicas`` of it are wanted; ``single`` is why it cannot be more than one, empty when it can.
    """

    name: str
    kind: str
    implementation: str
    address: str
    replicas: int = 1
    single: str = ""


@dataclass(frozen=True)
class StackState:
    """A stack that was brought up from a directory.

    ``compose_digest`` is the SHA-256 of the file as it was written; ``arguments`` are those of ``up``;
    ``config_digest`` tells one configuration from another; ``head_url`` is the head's address on this machine;
    ``nofile`` and ``image`` are for jobs on the stack's network; ``files`` were written beside the rendered one;
    ``role`` is this machine's in a stack on several; ``code`` is the digest of each server's code.
    """

    engine: str
    name: str
    head_url: str
    servers: tuple[ServerAddress, ...]
    arguments: tuple[str, ...] = ()
    config_digest: str = ""
    compose_file: str = ""
    compose_digest: str = ""
    nofile: int = 0
    image: str = ""
    version: str = ""
    files: tuple[str, ...] = ()
    role: str = ""
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Where its engine runs it, in words."""
        return {"local": "locally", "swarm": "on a Swarm"}.get(self.engine, "in containers")

    @property
    def takes_workers(self) -> bool:
        """Whether other machines register with its head."""
        return self.role in ("coordinator", "head")


def state_folder(directory: Path) -> Path:
    """``.gymctl`` of a directory, made when it is not there: entered by its owner only, ignored by git."""
    folder = directory / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        if not (folder / ".gitignore").exists():
            write_atomically(folder / ".gitignore", "*\n")
    except OSError as error:
        raise EngineError(f"{folder} cannot be written: {error.strerror}", "run gymctl where you may write") from error
    except EngineError:
        with suppress(OSError):
            folder.rmdir()  # only when there is nothing in it
        raise
    return folder


def save_state(directory: Path, state: StackState) -> None:
    """Write ``stack.json``, whole or not at all."""
    write_atomically(state_folder(directory) / _STATE, json.dumps(asdict(state), indent=2) + "\n")


def load_state(directory: Path) -> StackState:
    """The stack that was brought up from ``directory``.

    Raises:
        InputError: there is none.
    """
    found = find_state(directory)
    if found is None:
        raise InputError(f"no stack was brought up from {directory}", "start one with `gymctl up CONFIG...`")
    return found


def find_state(directory: Path) -> StackState | None:
    """As ``load_state``, but None when there is none.

    Raises:
        InputError: ``stack.json`` is there but cannot be read.
    """
    path = directory / FOLDER / _STATE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return _parse(values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} cannot be read: {error}", "run `gymctl up` again, or remove it after `gymctl down`"
        ) from error


def find_own_state(directory: Path, engine: str) -> StackState | None:
    """As ``find_state``, for an engine that is to start a stack there: one directory, one stack.

    Raises:
        EngineError: the directory's stack runs on another engine.
    """
    found = find_state(directory)
    if found is not None and found.engine != engine:
        raise EngineError(
            f"this directory already runs the stack {found.name} {found.where}", "stop it first: gymctl down"
        )
    return found


def _parse(values: dict[str, Any]) -> StackState:
    servers = tuple(ServerAddress(**server) for server in values["servers"])
    lists = {key: tuple(values.get(key, ())) for key in ("arguments", "files")}
    return StackState(**{**values, "servers": servers, **lists})


def clear_state(directory: Path) -> None:
    """Remove what gymctl keeps in ``.gymctl``; the folder too, unless something else is in it."""
    folder = directory / FOLDER
    (folder / _STATE).unlink(missing_ok=True)
    for name in (_SECRETS, _SWARM_FILES):
        shutil.rmtree(folder / name, ignore_errors=True)
    if folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {".gitignore"}:
        shutil.rmtree(folder, ignore_errors=True)


def write_secrets(directory: Path, secrets: Mapping[str, str]) -> tuple[str, ...]:
    """Write each secret to ``.gymctl/secrets/NAME``, remove those that are no more; returns the names that changed.

    The folder is entered by its owner only. The files are readable to all, because a container's user (uid 10001)
    meets them as bind mounts, without passing through the folder.
    """
    folder = state_folder(directory) / _SECRETS
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    changed = []
    for name, value in sorted(secrets.items()):
        path = folder / name
        content = value.encode("utf-8", "surrogateescape")
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content, mode=0o644)
            changed.append(name)
    for stale in folder.iterdir():
        if stale.name not in secrets:
            if stale.is_dir():  # Docker makes one where a file it was to mount is missing
                shutil.rmtree(stale, ignore_errors=True)
            else:
                stale.unlink()
    return tuple(changed)


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


def current_umask() -> int:
    """This process's umask, which can only be read by setting one."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def new_file_mode() -> int:
    """The mode of a new file under this process's umask."""
    return 0o666 & ~current_umask()


def write_atomically(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Write a file by renaming a finished one into place.

    Raises:
        EngineError: the disk is full, or the folder may not be written.
    """
    if isinstance(content, str):
        raw = content.encode("utf-8")
    else:
        raw = content
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb", opener=_for_its_owner) as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise EngineError(f"{path} cannot be written: {error.strerror}", "nothing was changed") from error
    finally:
        with suppress(OSError):  # of a write that failed, or was interrupted
            temporary.unlink(missing_ok=True)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
