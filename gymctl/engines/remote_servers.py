"""What a stack's head serves: the servers of other machines, and the configuration."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.error import URLError

from gymctl.engines.direct_http import open_directly
from gymctl.engines.protocol import ServerStatus

_TIMEOUT_S = 3.0


def registered_servers(head_url: str) -> list[ServerStatus]:
    """Every server that another machine registered; none when the head does not answer or takes no workers.

    ``state`` is ``running`` while its machine is heard of, then ``gone``. ``health`` says whether the head reaches it:
    one that its own machine finds well and the head does not is behind a firewall.
    """
    return [_status(node, server) for node in _nodes(head_url) for server in node["servers"]]


def registered_urls(head_url: str) -> dict[str, str]:
    """Base URLs of the registered servers whose machines are there, by name."""
    there = (node for node in _nodes(head_url) if node["state"] == "there")
    return {server["name"]: server["url"] for node in there for server in node["servers"]}


def published_values(head_url: str, token: str = "") -> dict[str, Any]:
    """The configuration that a head with this token gives its clients; empty when it does not answer."""
    import yaml

    try:
        with open_directly(f"{head_url}/global_config_dict_yaml", _TIMEOUT_S, token) as reply:
            values = yaml.load(json.load(reply), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (URLError, OSError, ValueError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


def _nodes(head_url: str) -> list[dict[str, Any]]:
    try:
        with open_directly(f"{head_url}/nodes", _TIMEOUT_S) as reply:
            nodes = json.load(reply)
    except (URLError, OSError, ValueError):
        return []
    if isinstance(nodes, list):
        return nodes
    return []


def _status(node: dict[str, Any], server: dict[str, Any]) -> ServerStatus:
    status = ServerStatus(
        name=server["name"],
        kind=server["kind"],
        implementation=server["implementation"],
        state="gone",
        health="",
        uptime_seconds=None,
        address=server["url"],
        node=node["node"],
    )
    if node["state"] != "there":
        return status
    return replace(status, state="running", health=_health(server), uptime_seconds=float(node["since_seconds"]))


def _health(server: dict[str, Any]) -> str:
    """Unreachable is a server that its own machine finds well and the head cannot call."""
    if server["reached"] == "success":
        return "healthy"
    if server["status"] == "success":
        return "unreachable"
    return "unhealthy"
