"""The token of a directory's stack that allows to replace the endpoints of its model servers."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from gymctl.config import Config
from gymctl.config.vocabulary import POLICY_TOKEN
from gymctl.engines.state import FOLDER, POLICY_TOKEN_FILE, state_folder, write_atomically
from gymctl.errors import InputError
from gymctl.operations.edge import store_edge
from gymctl.operations.membership import store_token
from gymctl.operations.monitoring import store_observation


def policy_token(directory: Path) -> str:
    """The token from the environment, else the one that the directory has, else a new one, which is not written.

    Raises:
        InputError: the directory's cannot be read.
    """
    return os.environ.get(POLICY_TOKEN) or stored_policy_token(directory) or secrets.token_urlsafe(24)


def stored_policy_token(directory: Path) -> str:
    """The token that the directory has; empty when it has none.

    Raises:
        InputError: it cannot be read.
    """
    path = directory / FOLDER / POLICY_TOKEN_FILE
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InputError(
            f"the policy token {path} cannot be read: {error.strerror}", "run `gymctl up` again"
        ) from error


def store_tokens(config: Config, directory: Path, stack_secrets: Mapping[str, str]) -> None:
    """Write the tokens of a coordinator, of an edge, of ``/metrics`` and of the policy, for this user only.

    Nothing is written where the stack has none. ``down`` leaves the first two, and removes the others.
    ``stack_secrets`` has the values by their environment names.

    Raises:
        EngineError: the directory cannot be written.
    """
    store_token(config, directory)
    store_edge(config, directory, stack_secrets)
    store_observation(config, directory)
    token = stack_secrets.get(POLICY_TOKEN)
    if token:
        write_atomically(state_folder(directory) / POLICY_TOKEN_FILE, f"{token}\n", mode=0o600)
