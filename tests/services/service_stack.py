"""Servers of ``services/`` in one process, wired by name as an engine would wire them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import yaml

from gymctl import assets
from gymctl.server import Call, Client, LocalTransport, Reply, Server, Settings
from gymctl.server.run.loader import load_server_class

Stack = dict[str, Server]


def service(kind: str, implementation: str) -> Path:
    return assets.folder("services") / kind / implementation


def entries(path: Path) -> list[tuple[str, str, str, dict[str, Any]]]:
    """(name, kind, implementation, fields) of every server a config file has."""
    return [
        (name, kind, implementation, fields)
        for name, kinds in yaml.safe_load(path.read_text()).items()
        for kind, below in kinds.items()
        for implementation, fields in below.items()
    ]


def example_rows(environment: str) -> list[dict[str, Any]]:
    path = service("resources_servers", environment) / "data" / "example.jsonl"
    return [orjson.loads(line) for line in path.read_text().splitlines()]


@asynccontextmanager
async def open_stack(*configs: Path, **overrides: dict[str, Any]) -> AsyncIterator[Stack]:
    servers: Stack = {}
    client = Client(LocalTransport(servers))
    for config in configs:
        for name, kind, implementation, fields in entries(config):
            cls = load_server_class(service(kind, implementation), fields["entrypoint"])
            own = {**fields, **overrides.get(name, {})}
            servers[name] = cls(Settings(name, kind, implementation, "127.0.0.1", 1, own), client)
    for server in servers.values():
        await server.startup()
    try:
        yield servers
    finally:
        for server in servers.values():
            await server.shutdown()


def environment(name: str) -> Path:
    return service("resources_servers", name) / "configs" / f"{name}.yaml"


SCRIPTED = service("responses_api_models", "scripted_model") / "configs" / "scripted_model.yaml"


async def post(server: Server, path: str, value: Any, *, cookies: dict[str, str] | None = None) -> Reply:
    return await server.handle(Call(path, orjson.dumps(value), cookies=cookies or {}))
