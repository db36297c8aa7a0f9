"""How the packages of the servers' images are installed: from a lock file with hashes, or by their lower bounds."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from gymctl.errors import InputError

VARIABLE = "GYMCTL_PACKAGE_LOCK"
LOCKED_NAMES = ("builder", "server")
"""The lists of packages that have a lock file: ``NAME.requirements.txt`` and ``NAME.lock.txt`` in ``dockerfiles/``."""

CONTEXT_FILES = (
    "install_packages.sh",
    *(f"{name}.{kind}.txt" for name in LOCKED_NAMES for kind in ("requirements", "lock")),
)
"""The files that an image's packages are installed from."""

MISMATCH_HINT = (
    "the package index has other files than gymctl's lock file lists; "
    f"if you trust this index, set {VARIABLE}=off to install without hashes"
)


class PackageLock(Enum):
    """Whether packages are installed from the lock file."""

    AUTO = "auto"
    """From the lock; if the package index lacks a version, by the lower bounds and with a note."""
    REQUIRED = "required"
    """From the lock, or the build fails."""
    OFF = "off"
    """By the lower bounds, without hashes."""


def package_lock(environ: Mapping[str, str]) -> PackageLock:
    """The choice that ``environ`` makes; ``AUTO`` without one.

    Raises:
        InputError: the variable has another value.
    """
    text = environ.get(VARIABLE) or PackageLock.AUTO.value
    try:
        return PackageLock(text)
    except ValueError:
        choices = ", ".join(choice.value for choice in PackageLock)
        raise InputError(f"{VARIABLE}: invalid value '{text}'; expected one of {choices}") from None


def is_mismatch(output: str) -> bool:
    """Whether ``output`` of a build says that a file differs from the lock; words of uv and of pip."""
    text = output.lower()
    return "hash mismatch" in text or "do not match the hashes" in text
