"""Files of secrets: who may read them, and those that change while containers read them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from gymctl.config.blocks.hop_tokens import SECRET_PREFIX
from gymctl.engines.atomic_files import write_atomically
from gymctl.engines.own_folder import SECRETS_FOLDER, make_own, state_folder
from gymctl.errors import EngineError


def write_secrets(directory: Path, secrets: Mapping[str, str]) -> tuple[str, ...]:
    """Write each secret to ``.gymctl/secrets/NAME``, remove obsolete ones; returns the names that changed.

    The folder is entered by its owner only. The files are readable to all, because a container's user (uid 10001)
    meets them as bind mounts, without passing through the folder.
    """
    folder = state_folder(directory) / SECRETS_FOLDER
    make_own(folder)
    changed = []
    for name, value in sorted(secrets.items()):
        path = folder / name
        content = value.encode("utf-8", "surrogateescape")
        if not path.is_file() or path.read_bytes() != content:
            if not changed_in_place(path, content):
                write_atomically(path, content, mode=_file_mode(name), in_own_folder=True)
            changed.append(name)
    for stale in folder.iterdir():
        if stale.name not in secrets:
            if stale.is_dir():  # Docker creates one if a file to mount is missing
                shutil.rmtree(stale, ignore_errors=True)
            else:
                stale.unlink()
    return tuple(changed)


def _file_mode(secret: str) -> int:
    """The mode of a secret's file: containers read it, but for the one with all tokens, which its owner reads."""
    if secret == SECRET_PREFIX:
        return 0o600
    return 0o644


def changed_in_place(path: Path, content: bytes) -> bool:
    """Change a file of tokens that exists; False, and nothing is done, for a new file and for another secret.

    A container keeps the file that it has mounted: of one that is renamed into its place it would see nothing.

    Raises:
        EngineError: it cannot be written, or is another user's.
    """
    if not path.name.startswith(SECRET_PREFIX) or not path.is_file():
        return False
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_uid != os.geteuid():
                raise EngineError(f"{path} belongs to another user", "run gymctl in a directory of your own")
            os.pwrite(descriptor, content, 0)
            os.ftruncate(descriptor, len(content))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise EngineError(f"{path} cannot be written: {error.strerror}", "free space, then run it again") from error
    return True
