"""Update the lock files of the servers' images: ``python scripts/lock_images.py``, then look at the difference.

Each ``dockerfiles/NAME.lock.txt`` lists versions and hashes for ``NAME.requirements.txt``, for every platform and every
Python from the oldest that gymctl supports. It names no package index. Requires ``uv`` on the path.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCKERFILES = Path(__file__).resolve().parents[1] / "dockerfiles"
NAMES = ("builder", "server")
HEADER = "# Written by scripts/lock_images.py from {name}.requirements.txt; do not edit.\n"
_COMPILE = (
    "uv",
    "pip",
    "compile",
    "--quiet",
    "--universal",
    "--python-version",
    "3.11",
    "--generate-hashes",
    "--upgrade",
)
_PLAIN = ("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header")


def locked(name: str) -> str:
    """The text of one lock file, with the newest versions that the package index has."""
    requirements = DOCKERFILES / f"{name}.requirements.txt"
    command = [*_COMPILE, *_PLAIN, str(requirements)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return HEADER.format(name=name) + output


def main() -> int:
    """Write every lock file."""
    for name in NAMES:
        (DOCKERFILES / f"{name}.lock.txt").write_text(locked(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
