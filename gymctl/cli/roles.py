"""What ``--role`` and the options beside it mean: this machine's part in a stack on several machines."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gymctl.config.vocabulary import EVERY_INTERFACE, HEAD_NAME, HEAD_TOKEN

if TYPE_CHECKING:
    from gymctl.config import Config, Role

TOKEN_FILE = Path(".gymctl/head-token")

RoleOption = Annotated[
    str | None,
    typer.Option(
        "--role", help="This machine's part in a stack on several: coordinator, worker or head.", metavar="ROLE"
    ),
]
Advertise = Annotated[
    str | None,
    typer.Option("--advertise", help="Address at which other machines reach those servers that have no `host`."),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with the head's token.", show_default=f"${HEAD_TOKEN}, {TOKEN_FILE}"),
]
NodeName = Annotated[
    str | None, typer.Option("--node", help="This machine's name on the head's list.", show_default="the host name")
]


def role_of(given: str | None) -> Role:
    """The role that ``--role`` names.

    Raises:
        InputError: there is no such role.
    """
    from gymctl.config import Role
    from gymctl.errors import InputError

    if given is not None and given not in list(Role):
        raise InputError(f"there is no role {given!r}", "use --role coordinator, --role worker or --role head")
    return Role(given) if given else Role.ALL


def with_membership(
    config: Config,
    role: Role,
    *,
    advertise: str | None,
    node: str | None,
    token_file: Path | None,
    needs_token: bool = True,
) -> Config:
    """The configuration with this machine's part; unchanged without a role. A file that is only shown needs no token.

    Raises:
        InputError: a worker has no token, or the token's file cannot be read.
    """
    from gymctl.config import Membership, Role
    from gymctl.errors import InputError

    if role is Role.ALL:
        if advertise or node or token_file:
            raise InputError("--advertise, --node and --token-file are for --role", "add --role coordinator or worker")
        return config
    token = _token(config, role, token_file) if needs_token else ""
    member = Membership(role, token, node or socket.gethostname(), advertise)
    return replace(config, membership=member, secrets={**config.secrets, HEAD_TOKEN: token})


def published_head(config: Config, role: Role, publish: str | None) -> str | None:
    """The address to publish the head at: what ``--publish`` says, else with a role ``head_server.host``.

    Raises:
        InputError: nobody said where the workers of other machines are to find the head.
    """
    from ipaddress import ip_address

    from gymctl.config import Role
    from gymctl.errors import InputError

    if publish or role in (Role.ALL, Role.WORKER):
        return publish
    host = config.head.host
    if host is None:
        hint = "set head_server.host to this machine's address, or give --publish ADDRESS"
        raise InputError("nothing says where the workers of other machines find the head", hint)
    try:
        return str(ip_address(host))
    except ValueError:
        return EVERY_INTERFACE  # a name: which of this machine's interfaces it means is not known here


def _token(config: Config, role: Role, file: Path | None) -> str:
    """The head's token: of the file, the configuration, the environment; a coordinator without one makes one up."""
    from gymctl.config import Role
    from gymctl.errors import InputError

    if file is not None:
        return _read(file)
    head = config.values.get(HEAD_NAME)
    written = head.get("token") if isinstance(head, dict) else None
    if found := written or os.environ.get(HEAD_TOKEN):
        return str(found)
    if TOKEN_FILE.is_file():
        return _read(TOKEN_FILE)
    if role is Role.WORKER:
        hint = f"take the one in {TOKEN_FILE} on the coordinator: {HEAD_TOKEN}=... or --token-file FILE"
        raise InputError("a worker needs the head's token", hint)
    return secrets.token_urlsafe(24)


def check_swarm_role(role: Role) -> None:
    """A Swarm's machines find each other by themselves.

    Raises:
        InputError: a role was given.
    """
    from gymctl.config import Role
    from gymctl.errors import InputError

    if role is not Role.ALL:
        raise InputError("--role is for machines without a Swarm", "with one, `placement` says what runs where")


def keep_token(config: Config, directory: Path) -> None:
    """Write the token of a coordinator into its directory, for its workers; ``down`` leaves it there.

    Raises:
        EngineError: the directory cannot be written.
    """
    from gymctl.config import Role
    from gymctl.engines.state import state_folder, write_atomically

    member = config.membership
    if member is not None and member.role is not Role.WORKER:
        write_atomically(state_folder(directory) / TOKEN_FILE.name, f"{member.token}\n", mode=0o600)


def _read(file: Path) -> str:
    from gymctl.errors import InputError

    try:
        token = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"the token's file {file} cannot be read: {error.strerror}") from error
    if not token:
        raise InputError(f"the token's file {file} is empty", "put the head's token into it")
    return token
