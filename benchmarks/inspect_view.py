"""``inspect view`` on the rollouts of a results file, for comparison."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CONVERT = Path(__file__).with_name("inspect_log.py")
_START_S = 120


def write_log(environment: Path, rollouts: Path, folder: Path) -> None:
    """Convert the rollouts into a log in a new folder, with the inspect-ai of a virtual environment."""
    unfinished = folder.with_suffix(".tmp")
    unfinished.mkdir(parents=True, exist_ok=True)
    command = [environment / "bin/python", _CONVERT, rollouts, unfinished]
    subprocess.run(command, check=True, env=_environment(folder.parent))
    unfinished.rename(folder)


def version(environment: Path) -> str:
    """The release of inspect-ai in a virtual environment."""
    command = [
        str(environment / "bin/python"),
        "-c",
        "from importlib.metadata import version; print(version('inspect_ai'))",
    ]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@contextmanager
def serve(environment: Path, log: Path) -> Iterator[tuple[str, int]]:
    """The address and the process id of ``inspect view`` for a log."""
    port = _free_port()
    command = [str(environment / "bin/inspect"), "view", "--log-dir", str(log.parent), "--port", str(port)]
    address = f"http://127.0.0.1:{port}/"
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=_environment(log.parent.parent))
    try:
        _wait_for(address, server)
        yield address, server.pid
    finally:
        server.terminate()
        server.wait()


def _environment(home: Path) -> dict[str, str]:
    """Caches and port files in the temporary folder: nothing of the user's own is read or stopped."""
    variables = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "XDG_CACHE_HOME": str(home / "cache")}
    return {**os.environ, **variables}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"inspect view ended with {server.returncode}")
        with suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.2)
    raise TimeoutError(f"inspect view did not answer within {_START_S} s")
