"""The files of a stack's directory that a command writes for this user only: tokens, certificates, headers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gymctl.config import Config
from gymctl.config.vocabulary import POLICY_TOKEN
from gymctl.engines.own_folder import POLICY_TOKEN_FILE
from gymctl.engines.token_files import store_text
from gymctl.operations.edge import store_edge
from gymctl.operations.membership import store_token
from gymctl.operations.monitoring import store_observation
from gymctl.operations.telemetry import store_telemetry


def store_stack_files(config: Config, directory: Path, stack_secrets: Mapping[str, str]) -> None:
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
