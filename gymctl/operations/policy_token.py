"""The token of a directory's stack that allows to replace the endpoints of its model servers."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from gymctl.config.vocabulary import POLICY_TOKEN
from gymctl.engines.own_folder import POLICY_TOKEN_FILE
from gymctl.engines.token_files import stored_text


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
