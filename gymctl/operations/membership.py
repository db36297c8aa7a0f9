"""This machine's part in a stack on several machines: its role, its name and address, the head's token."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from gymctl.config import Config, Membership, Role
from gymctl.config.vocabulary import EVERY_INTERFACE, HEAD_NAME, HEAD_TOKEN
from gymctl.errors import ErrorCode, InputError

TOKEN_FILE = Path(".gymctl/head-token")


@dataclass(frozen=True)
class MembershipOptions:
    """The options about this machine's role."""

    role: Role = Role.ALL
    advertise: str | None = None
    """Address at which other machines reach those of its servers that have no ``host``."""
    node: str | None = None
    """This machine's name on the head's list; by default the host name."""
    token_file: Path | None = None
    """File with the head's token."""


def with_membership(config: Config, options: MembershipOptions, *, needs_token: bool = True) -> Config:
    """The configuration with this machine's part; unchanged when the stack is on this machine alone.

    ``needs_token`` is false for a file that is only displayed.

    Raises:
        InputError: an option needs a role, a worker has no token, or the token's file cannot be read.
    """
    if options.role is Role.ALL:
        if options.advertise or options.node or options.token_file:
            raise InputError(
                "--advertise, --node and --token-file are for --role", "add --role coordinator or --role worker"
            )
        return config
    if needs_token:
        token = _token(config, options)
    else:
        token = ""
    member = Membership(
        role=options.role,
        token=token,
        node=options.node or socket.gethostname(),
        advertise=options.advertise,
    )
    return replace(config, membership=member, secrets={**config.secrets, HEAD_TOKEN: token})


def published_head(config: Config, publish: str | None) -> str | None:
    """The address to publish the head on: ``publish``, else on several machines ``head_server.host``.

    Raises:
        InputError: workers of other machines have no address at which to find the head.
    """
    from ipaddress import ip_address

    if publish or config.membership is None or config.is_worker:
        return publish
    host = config.head.host
    if host is None:
        hint = "set head_server.host to this machine's address, or give --publish ADDRESS"
        raise InputError("workers on other machines have no address for the head", hint)
    try:
        return str(ip_address(host))
    except ValueError:
        return EVERY_INTERFACE  # a name: which of this machine's interfaces it means is not known here


def check_swarm_role(role: Role) -> None:
    """Check that a stack on a Swarm has no role: its machines find each other.

    Raises:
        InputError: it has one.
    """
    if role is not Role.ALL:
        raise InputError("--role is for machines without a Swarm", "on a Swarm, use `placement` instead")


def store_token(config: Config, directory: Path) -> None:
    """Write the token of a coordinator into its directory, for its workers; ``down`` leaves it there.

    Raises:
        EngineError: the directory cannot be written.
    """
    from gymctl.engines.token_files import store_text

    member = config.membership
    if member is not None and member.role is not Role.WORKER:
        store_text(directory, TOKEN_FILE.name, member.token)


def _token(config: Config, options: MembershipOptions) -> str:
    """The head's token from the file, the configuration or the environment; a coordinator without one creates it."""
    if options.token_file is not None:
        return _read(options.token_file)
    head = config.values.get(HEAD_NAME)
    if isinstance(head, dict):
        configured = head.get("token")
    else:
        configured = None
    token = configured or os.environ.get(HEAD_TOKEN)
    if token:
        return str(token)
    if TOKEN_FILE.is_file():
        return _read(TOKEN_FILE)
    if options.role is Role.WORKER:
        hint = f"copy the one in {TOKEN_FILE} on the coordinator: {HEAD_TOKEN}=... or --token-file FILE"
        raise InputError("a worker needs the head's token", hint, ErrorCode.NO_TOKEN)
    return secrets.token_urlsafe(24)


def _read(file: Path) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"the token's file {file} cannot be read: {error.strerror}") from error
    if not token:
        raise InputError(f"the token's file {file} is empty", "put the head's token into it")
    return token
