"""``gymctl view`` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TOKEN = "a-token-that-is-long-enough"


@dataclass
class View:
    """A running ``gymctl view``."""

    base: str
    folder: Path

    @property
    def address(self) -> str:
        return f"{self.base}/?token={TOKEN}"


def start_view(*arguments: str, cwd: Path) -> tuple[subprocess.Popen[str], str]:
    """``gymctl view`` as a process, and its address without the token."""
    script = "from gymctl.cli.entry import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "view", "--port", "0", *arguments],
        cwd=cwd,
        env={**os.environ, "GYMCTL_VIEW_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    address = process.stdout.readline()
    return process, address.split("/?")[0]


def stop_view(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    process.terminate()
    process.wait(20)
    process.stdout.close()
