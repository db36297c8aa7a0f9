"""Checks for tests: what a worker process does, or does wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any


def add(one: int, other: int) -> int:
    return one + other


def own_process() -> int:
    return os.getpid()


def environment() -> dict[str, str]:
    return dict(os.environ)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def hang_in_c() -> int:
    return len(str(7 ** (10**9)))  # one operation of the interpreter: no signal handler of Python runs meanwhile


def end_suddenly() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    raise SystemExit(3)


def complain(text: str) -> None:
    raise ValueError(text)


def take(count: int) -> int:
    return len(bytearray(count))


def unsendable() -> Any:
    return lambda: None


def leave_a_child_behind() -> int:
    child = subprocess.Popen(["sleep", "600.713"]).pid
    if child:
        while True:
            time.sleep(1)
    return child


def children_named(argument: str) -> list[Path]:
    """The processes on this machine that are ``sleep ARGUMENT``."""
    imported = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_text().split("\0")
        except OSError:
            continue
        if words[:2] == ["sleep", argument]:
            imported.append(file)
    return imported
