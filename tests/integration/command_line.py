"""The command line on a real engine: its own processes, in folders and under names of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart"
GYMCTL = [sys.executable, "-m", "gymctl.cli.main"]


@dataclass
class Folder:
    """A folder to run gymctl in; ``name`` is that of its stack, ``port`` the head's."""

    path: Path
    port: int
    patience: float = 240  # seconds that one command may take
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"gymctl-cli-{os.getpid()}-{self.port}"

    def gymctl(self, *arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        argv = [*GYMCTL, *map(str, arguments)]
        environ = {**os.environ, **(env or {})}
        return subprocess.run(
            argv, cwd=self.path, env=environ, capture_output=True, text=True, check=False, timeout=self.patience
        )

    def up(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """``gymctl up`` under this folder's own name and port."""
        return self.gymctl(*self.up_arguments(*arguments))

    def up_arguments(self, *arguments: object) -> list[object]:
        return ["up", *arguments, "--name", self.name, f"+head_server.port={self.port}"]

    def interrupted(
        self, arguments: Sequence[object], when: Callable[[], bool]
    ) -> tuple[subprocess.Popen[str], str, str]:
        """Run a command and press Ctrl-C as soon as ``when`` is true; the process, its output and its errors."""
        process = subprocess.Popen(
            [*GYMCTL, *map(str, arguments)],
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        deadline = time.monotonic() + 120
        while not when():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        return process, *process.communicate(timeout=60)

    def docker(self, *arguments: str) -> str:
        """What a docker command prints."""
        done = subprocess.run(
            ["docker", *arguments], cwd=self.path, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def left(self) -> list[str]:
        """What is on the engine of this folder's stack: containers, networks, volumes."""
        label = f"label=com.docker.compose.project={self.name}"
        listings = (["ps", "--all"], ["network", "ls"], ["volume", "ls"])
        return [line for listing in listings for line in self.docker(*listing, "-q", "--filter", label).split()]

    def files(self) -> set[str]:
        """The names of what lies in the folder, hidden ones too."""
        return {entry.name for entry in self.path.iterdir()}

    def clean(self) -> None:
        """Take away the stack, the images of the user's own servers, and the folder."""
        if (self.path / ".gymctl" / "stack.json").exists():
            self.gymctl("down", "--volumes")
        images = self.docker("images", "-q", f"{self.name}-*").split()
        if images:
            subprocess.run(["docker", "image", "rm", "-f", *set(images)], capture_output=True, check=False, timeout=60)
        shutil.rmtree(self.path, ignore_errors=True)
