"""Files of ``.gymctl`` with one text each that only this user can read: tokens, and what goes with them."""

from __future__ import annotations

from pathlib import Path

from gymctl.engines.atomic_files import write_atomically
from gymctl.engines.own_folder import FOLDER, state_folder
from gymctl.errors import InputError

EDGE_TOKEN_FILE = "edge-token"  # noqa: S105 - the name of a file
EDGE_CERTIFICATE_FILE = "edge-certificate.pem"
"""The certificate of an edge, the certificate of its CA, and the private key."""
EDGE_CA_FILE = "edge-ca.pem"
"""The certificate of the CA alone, which anyone may read."""


def stored_text(directory: Path, name: str) -> str:
    """The text of a file in the ``.gymctl`` of a directory, without blanks around it; empty where there is none.

    Raises:
        InputError: it cannot be read.
    """
    path = directory / FOLDER / name
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}", "remove it, and run `gymctl up` again") from error


def store_text(directory: Path, name: str, text: str) -> None:
    """Write such a file.

    Raises:
        EngineError: it cannot be written.
    """
    write_atomically(state_folder(directory) / name, f"{text}\n", mode=0o600)
