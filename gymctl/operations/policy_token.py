"""The token of a directory's stack that allows to replace the endpoints of its model servers."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from gymctl.config import Config
from gymctl.config.vocabulary import POLICY_TOKEN
from gymctl.engines.state import POLICY_TOKEN_FILE
from gymctl.engines.token_files import store_text, stored_text
from gymctl.operations.edge import store_edge
from gymctl.operations.membership import store_token
from gymctl.operations.monitoring import store_observation
from gymctl.operations.telemetry import store_telemetry


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
    return stored_text(directory, POLICY_TOKEN_FILE)


def store_tokens(config: Config, directory: Path, stack_secrets: Mapping[str, str]) -> None:
    """Write the tokens of a coordinator, of an edge, of ``/metrics``, of traces and of the policy, for this user only.

    Nothing is written where the stack has none. ``down`` leaves the first two, and removes the others.
    ``stack_secrets`` has the values by their environment names.

    Raises:
        EngineError: the directory cannot be written.
    """
    store_token(config, directory)
    store_edge(config, directory, stack_secrets)
    store_observation(config, directory)
    store_telemetry(config, directory)
    token = stack_secrets.get(POLICY_TOKEN)
    if token:
        store_text(directory, POLICY_TOKEN_FILE, token)
