"""What a directory knows about its stack: ``.gymctl/``, for this user only. No secret is in ``stack.json``."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gymctl.engines.own_folder import remove_empty_folder
from gymctl.engines.secret_files import changed_in_place, file_mode
from gymctl.engines.server_address import ServerAddress
from gymctl.errors import EngineError, ErrorCode, InputError

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


@dataclass(frozen=True)
class StackState:
    """A stack that was brought up from a directory.

    ``compose_digest`` is the SHA-256 of the file as it was written; ``arguments`` are those of ``up``;
    ``config_digest`` identifies the configuration; ``head_url`` is the head's address on this machine;
    ``nofile`` and ``image`` are for jobs on the stack's network; ``files`` were written next to the rendered one;
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
    engine_options: tuple[str, ...] = ()
    """Options of ``up``, as ``--name=value``, that are not among ``arguments`` and that it needs again."""
    gym_version: str = ""
    """The release of NeMo Gym whose rules it follows; empty in the state of a stack that did not record it."""
    outside: tuple[ServerAddress, ...] = ()
    """Servers of its configuration that run elsewhere, at the address that its own servers dial."""

    @property
    def titles(self) -> dict[str, str]:
        """The names of its servers, by their services."""
        return {server.service_name: server.name for server in self.servers}

    @property
    def all_servers(self) -> tuple[ServerAddress, ...]:
        """Its own servers, and those that it calls elsewhere."""
        return (*self.servers, *self.outside)

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
        _make_own(folder)
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


def _make_own(folder: Path) -> None:
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


def save_state(directory: Path, state: StackState) -> None:
    """Write ``stack.json`` atomically."""
    write_atomically(state_folder(directory) / STATE_FILE, json.dumps(asdict(state), indent=2) + "\n")


def load_state(directory: Path) -> StackState:
    """The stack that was brought up from ``directory``.

    Raises:
        InputError: there is none.
    """
    state = find_state(directory)
    if state is None:
        problem = f"no stack was brought up from {directory}"
        raise InputError(problem, "start one with `gymctl up CONFIG...`", ErrorCode.NO_STACK)
    return state


def find_state(directory: Path) -> StackState | None:
    """As ``load_state``, but None when there is none.

    Raises:
        InputError: ``stack.json`` is there but cannot be read.
    """
    path = directory / FOLDER / STATE_FILE
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
    """Like ``find_state``, for an engine that will start a stack there: one directory, one stack.

    Raises:
        EngineError: the directory's stack runs on another engine.
    """
    state = find_state(directory)
    if state is not None and state.engine != engine:
        raise EngineError(
            f"this directory already runs the stack {state.name} {state.where}", "stop it first: gymctl down"
        )
    return state


def _parse(values: dict[str, Any]) -> StackState:
    servers = tuple(ServerAddress(**server) for server in values["servers"])
    outside = tuple(ServerAddress(**server) for server in values.get("outside", ()))
    lists = {key: tuple(values.get(key, ())) for key in ("arguments", "files", "engine_options")}
    return StackState(**{**values, "servers": servers, "outside": outside, **lists})


def clear_state(directory: Path) -> None:
    """Remove what gymctl keeps in ``.gymctl``; the folder too, unless something else is in it."""
    folder = directory / FOLDER
    for name in _OWN_FILES:
        (folder / name).unlink(missing_ok=True)
    for name in (SECRETS_FOLDER, _SWARM_FILES, PREVIOUS_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)
    remove_empty_folder(folder)


def save_configuration(directory: Path, digest: str, configuration: Mapping[str, Any]) -> None:
    """Keep the configuration that a stack runs with, secrets masked, for the records of runs."""
    content = json.dumps({"digest": digest, "configuration": configuration}, default=str)
    write_atomically(state_folder(directory) / CONFIGURATION_FILE, content)


def load_configuration(directory: Path, digest: str) -> dict[str, Any] | None:
    """The configuration with a digest that was saved; None when another one was, or none that can be read."""
    try:
        saved = json.loads((directory / FOLDER / CONFIGURATION_FILE).read_text(encoding="utf-8"))
        if saved["digest"] != digest:
            return None
        configuration: dict[str, Any] = saved["configuration"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return configuration


def write_secrets(directory: Path, secrets: Mapping[str, str]) -> tuple[str, ...]:
    """Write each secret to ``.gymctl/secrets/NAME``, remove obsolete ones; returns the names that changed.

    The folder is entered by its owner only. The files are readable to all, because a container's user (uid 10001)
    meets them as bind mounts, without passing through the folder.
    """
    folder = state_folder(directory) / SECRETS_FOLDER
    _make_own(folder)
    changed = []
    for name, value in sorted(secrets.items()):
        path = folder / name
        content = value.encode("utf-8", "surrogateescape")
        if not path.is_file() or path.read_bytes() != content:
            if not changed_in_place(path, content):
                write_atomically(path, content, mode=file_mode(name), in_own_folder=True)
            changed.append(name)
    for stale in folder.iterdir():
        if stale.name not in secrets:
            if stale.is_dir():  # Docker creates one if a file to mount is missing
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


def write_atomically(path: Path, content: str | bytes, mode: int = 0o600, *, in_own_folder: bool = False) -> None:
    """Write a file by renaming a finished one into place.

    Args:
        path: the file.
        content: text is written as UTF-8.
        mode: its mode.
        in_own_folder: refuse a folder that is not this user's when the file is opened, whatever it was before.

    Raises:
        EngineError: the disk is full, or the folder may not be written, or is another user's.
    """
    raw = content.encode("utf-8") if isinstance(content, str) else content
    temporary = f".{path.name}.{uuid.uuid4().hex}"
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if in_own_folder and os.fstat(folder).st_uid != os.geteuid():
                raise EngineError(f"{path.parent} belongs to another user", "run gymctl in a directory of your own")
            _write_within(folder, temporary, path.name, raw, mode)
        finally:
            os.close(folder)
    except OSError as error:
        raise EngineError(f"{path} cannot be written: {error.strerror}", "nothing was changed") from error


def _write_within(folder: int, temporary: str, name: str, content: bytes, mode: int) -> None:
    """Write the file ``name`` of a folder, given by its descriptor, through a new unnamed file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        with suppress(OSError):  # of a write that failed, or was interrupted
            os.unlink(temporary, dir_fd=folder)
