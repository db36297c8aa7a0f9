"""Records of server instances, as NeMo Gym's clients read them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gymctl.server import HopFailed
from gymctl.server.calls.registration import RegisteredServer

SERVICES = Path(__file__).resolve().parent.parent


def instance_record(
    name: str,
    kind: str,
    implementation: str,
    entrypoint: str | None,
    address: tuple[str | None, int | None, str | None],
    folder: str | None = None,
) -> dict[str, Any]:
    """An instance with upstream's thirteen fields in upstream's order.

    ``address`` is host, port, URL; ``folder`` is where the server's code is, by default among gymctl's own servers.
    """
    host, port, url = address
    return {
        "config_path": name,
        "dir_path": folder or str(SERVICES / kind / implementation),
        "entrypoint": entrypoint,
        "host": host,
        "name": implementation,
        "pid": None,
        "port": port,
        "process_name": name,
        "server_type": kind,
        "start_time": None,
        "status": "unknown_error",
        "uptime_seconds": None,
        "url": url,
    }


def registered_record(server: RegisteredServer) -> dict[str, Any]:
    """The instance of a server that another machine registered."""
    parts = urlsplit(server.url)
    address = (parts.hostname, parts.port, server.url)
    return instance_record(server.name, server.kind.value, server.implementation, server.entrypoint, address)


def registered_entry(server: RegisteredServer) -> dict[str, Any]:
    """A registered server as the configuration that NeMo Gym's clients read has it."""
    parts = urlsplit(server.url)
    fields = {"entrypoint": server.entrypoint, "host": parts.hostname, "port": parts.port}
    return {server.kind.value: {server.implementation: fields}}


def note_probe(record: dict[str, Any], failure: HopFailed | None) -> None:
    """What a probe found, in upstream's words (ServerStatus)."""
    if failure is not None:
        if failure.kind == "timeout":
            record["status"] = "timeout"
        else:
            record["status"] = "connection_error"
        record["start_time"] = None
    else:
        record["status"] = "success"
        record["start_time"] = record["start_time"] or time.time()
