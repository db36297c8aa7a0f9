"""Say which Ray cluster answers at an address, as a line of JSON. Sent as text into images, some without gymctl."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from typing import Any

_CONNECT_S = 5.0
# The process that a cluster starts for a client may fail, and may take long on a busy machine. Only another client gets
# another process.
_CLIENTS = 3
_RETRIES = 2  # of one client, for 15 s together where nothing like Ray answers


def look(host: str, port: int) -> dict[str, Any]:
    """Versions, ``{"ray": ..., "python": ...}`` as ``own`` and ``theirs``; or what ``failed``, and the ``error``."""
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError as error:
        return {"failed": "connect", "error": str(error)}
    import ray
    from ray.util.client import ray as client

    own = {"ray": ray.__version__, "python": platform.python_version()}
    failure = ""
    for _ in range(_CLIENTS):
        try:
            report = client.connect(f"{host}:{port}", connection_retries=_RETRIES, ignore_version=True)
        except Exception as error:  # noqa: BLE001 - of whatever kind, it is what a server would end with
            failure = f"{type(error).__name__}: {error}"
        else:
            return {"own": own, "theirs": {"ray": report["ray_version"], "python": report["python_version"]}}
    return {"failed": "talk", "error": failure, "own": own}


if __name__ == "__main__":
    print(json.dumps(look(sys.argv[1], int(sys.argv[2]))), flush=True)
    os._exit(0)  # Ray's threads may wait for a cluster that does not answer
