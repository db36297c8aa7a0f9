"""What a plan refuses before it is made: names, folders and addresses that cannot be; and slices that are too large."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gymctl.config import Config, SliceMode
from gymctl.config.wording import suggestion
from gymctl.errors import ConfigError, ErrorCode, Problem
from gymctl.stack.addons.vllm import vllm_problems
from gymctl.stack.compose.rules import MAX_VARIABLE
from gymctl.stack.runtime import Runtime, Runtimes
from gymctl.stack.service import ServicePlan

MAX_SLICE = 120_000  # bytes; execve refuses a NAME=value of 131,072 with "argument list too long"

_VARIABLE = "NEMO_GYM_CONFIG_DICT"
_STACK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def raise_any(problems: Iterable[Problem]) -> None:
    """Raise the problems, if there are any.

    Raises:
        ConfigError: there are.
    """
    listed = list(problems)
    if listed:
        raise ConfigError(listed)


def plan_problems(config: Config, name: str, runtimes: Runtimes) -> Iterator[Problem]:
    """What keeps ``config`` from being the stack ``name``, all of it."""
    yield from stack_name_problems(name)
    yield from _folder_problems(config, runtimes)
    yield from _address_problems(config)
    yield from runtimes.problems()
    yield from vllm_problems(config)


def stack_name_problems(name: str) -> Iterator[Problem]:
    """What keeps ``name`` from being a stack's, on whichever engine."""
    if not _STACK_NAME.fullmatch(name):
        hint = "use lower-case letters, digits, - and _, starting with a letter or digit"
        yield Problem("", f"{name!r} is not a valid stack name", hint)


def _folder_problems(config: Config, runtimes: Runtimes) -> Iterator[Problem]:
    for server in config.started.values():
        if server.folder is not None or runtimes.of(server.name) is Runtime.NEMO_GYM:
            continue
        roots = dict.fromkeys((*config.roots, config.bundled))
        kind = server.kind.value
        known = sorted({path.parent.name for root in roots for path in root.glob(f"{kind}/*/{server.entrypoint}")})
        hint = suggestion(server.implementation, known) or "none is available"
        hint += "; for a server of NeMo Gym, add `runtime: nemo-gym`"
        message = f"{server.name}: no server {server.implementation!r} under {kind}/ here or among the bundled ones"
        message += f" (no {kind}/{server.implementation}/{server.entrypoint})"
        yield Problem(str(server.location or ""), message, hint, ErrorCode.NO_SERVER_CODE)


def _address_problems(config: Config) -> Iterator[Problem]:
    """Two servers to which the configuration gives one host and port: at most one of them can mean it."""
    if config.head.host:
        taken = {(config.head.host, config.head.port): "the head server"}
    else:
        taken = {}
    for server in config.started.values():
        if server.host is None or server.port is None:
            continue
        address = (server.host, server.port)
        if address in taken:
            message = f"{server.name}: {server.host}:{server.port} is already the address of {taken[address]}"
            yield Problem(str(server.location or ""), message, "choose another port, or remove `port`")
        taken.setdefault(address, server.name)


def size_problems(service: ServicePlan, config: Config, mode: SliceMode) -> Iterator[Problem]:
    """A slice that does not fit into an environment variable."""
    size = len(f"{_VARIABLE}={service.slice_text}".encode()) + 1
    if size <= MAX_SLICE:
        return
    server = config.servers.get(service.server)
    if server:
        where = str(server.location or "")
    else:
        where = ""
    message = (
        f"{service.title}: its configuration is {size:,} bytes, over gymctl's limit of {MAX_SLICE:,} "
        f"(Linux rejects environment variables of {MAX_VARIABLE:,})"
    )
    if mode == SliceMode.FULL and service.kind != "head":
        hint = "use --slice closure"
    elif service.kind == "head":
        hint = f"the head holds all {len(config.servers)} servers; split the stack in two"
    else:
        hint = "move large values (prompts, tables) to files that the server reads"
    yield Problem(where, message, hint)
