"""What a directory knows about its stack: ``.gymctl/``, for this user only. No secret is in ``stack.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gymctl.engines.atomic_files import write_atomically
from gymctl.engines.own_folder import CONFIGURATION_FILE, FOLDER, STATE_FILE, state_folder
from gymctl.engines.server_address import ServerAddress
from gymctl.errors import EngineError, ErrorCode, InputError


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
