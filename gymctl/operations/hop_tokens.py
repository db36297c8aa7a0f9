"""The tokens of a directory's stack with ``tokens: true``: created once, and kept with the secrets of the stack."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config import Config
from gymctl.config.blocks.hop_tokens import SECRET_PREFIX, HopTokens
from gymctl.config.vocabulary import HEAD_NAME, TOKENS_KEY
from gymctl.engines.own_folder import FOLDER, SECRETS_FOLDER
from gymctl.engines.secret_files import write_secrets
from gymctl.errors import InputError

if TYPE_CHECKING:
    from gymctl.stack.hop_tokens import Tokens

_BYTES = 24


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(_BYTES)


def tokens_path(directory: Path) -> Path:
    """The file with the tokens of all servers, whether it exists or not."""
    return directory / FOLDER / SECRETS_FOLDER / SECRET_PREFIX


def tokens_file(directory: Path) -> str:
    """The path of the file with the tokens of all servers; empty where the directory's stack has none."""
    path = tokens_path(directory).resolve()
    return str(path) if path.is_file() else ""


def stored_tokens(directory: Path) -> Tokens:
    """The tokens of a directory's stack, by server; none where it has none.

    Raises:
        InputError: they cannot be read.
    """
    path = tokens_path(directory)
    try:
        return HopTokens.parse(path.read_text(encoding="ascii")).calls
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}", "remove it, and run `gymctl up` again") from error


def stack_tokens(config: Config, directory: Path) -> Tokens:
    """The tokens for a configuration's stack: those that the directory has, and new ones. Nothing is written.

    Raises:
        InputError: those of the directory cannot be read.
    """
    from gymctl.stack.hop_tokens import token_owners

    owners = token_owners(config)
    if not owners:
        return {}
    stored = stored_tokens(directory)
    return {name: stored.get(name) or (new_token(),) for name in owners}


def stored_token(directory: Path, server: str = HEAD_NAME) -> str:
    """The token for calls to a server, by default to the head; empty where it needs none.

    Raises:
        InputError: the tokens of the directory cannot be read.
    """
    return next(iter(stored_tokens(directory).get(server, ())), "")


def refuse_tokens(config: Config, engine: str) -> None:
    """Check that a configuration has no ``tokens: true``, for ``engine``, which does not support it.

    Raises:
        InputError: it has.
    """
    if config.tokens:
        where = config.origins.of((TOKENS_KEY,))
        message = f"{TOKENS_KEY} is not available {engine}"
        hint = f"run the stack on one machine or a Swarm, or add ++{TOKENS_KEY}=false"
        raise InputError(f"{where}: {message}" if where else message, hint)


def store_local_tokens(config: Config, directory: Path) -> None:
    """Write the files with the tokens of a stack of the local engine; without ``tokens: true``, remove earlier ones.

    Raises:
        InputError: earlier ones cannot be read, or the stack is one of several machines.
        EngineError: the directory cannot be written.
    """
    if not config.tokens:
        for path in tokens_path(directory).parent.glob(f"{SECRET_PREFIX}*"):
            path.unlink(missing_ok=True)
        return
    if config.membership is not None:
        refuse_tokens(config, "with --role")
    from gymctl.stack.hop_tokens import local_token_files

    write_secrets(directory, local_token_files(config, stack_tokens(config, directory)))
