"""Say which Ray cluster answers at an address, as a line of JSON. Sent as text into images, some without gymctl."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from typing import Any

_CONNECT_S = 5.0
# A cluster on a busy machine may need longer than one try to start the process that serves a client.
_TRIES = 3


def look(host: str, port: int) -> dict[str, Any]:
    """Versions, ``{"ray": ..., "python": ...}`` as ``own`` and ``theirs``; or what ``failed``, and the ``error``."""
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError as error:
        return {"failed": "connect", "error": str(error)}
    import ray
    from ray.util.client import ray as client

    own = {"ray": ray.__version__, "python": platform.python_version()}
    try:
        report = client.connect(f"{host}:{port}", connection_retries=_TRIES, ignore_version=True)
    except Exception as error:  # noqa: BLE001 - of whatever kind, it is what a server would end with
        return {"failed": "talk", "error": f"{type(error).__name__}: {error}", "own": own}
    return {"own": own, "theirs": {"ray": report["ray_version"], "python": report["python_version"]}}


if __name__ == "__main__":
    print(json.dumps(look(sys.argv[1], int(sys.argv[2]))), flush=True)
    os._exit(0)  # Ray's threads may wait for a cluster that does not answer
