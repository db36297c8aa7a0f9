"""gymctl as a command, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from benchmarks.sides import REPOSITORY, Side


def gymctl(side: Side, folder: Path, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one command to its end.

    Raises:
        RuntimeError: it failed.
    """
    command = [str(side.python), "-c", "from gymctl.cli.main import main; main()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"gymctl {arguments[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done


def seconds(side: Side, folder: Path, *arguments: object) -> float:
    """How long a command takes."""
    started = time.monotonic()
    gymctl(side, folder, *arguments)
    return time.monotonic() - started
