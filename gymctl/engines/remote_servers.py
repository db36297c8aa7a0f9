"""The servers of other machines, as a stack's head lists them."""

from __future__ import annotations

import json
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


def _nodes(head_url: str) -> list[dict[str, Any]]:
    try:
        with open_directly(f"{head_url}/nodes", _TIMEOUT_S) as reply:
            nodes = json.load(reply)
    except (URLError, OSError, ValueError):
        return []
    return nodes if isinstance(nodes, list) else []


def _status(node: dict[str, Any], server: dict[str, Any]) -> ServerStatus:
    there = node["state"] == "there"
    reached, own = server["reached"] == "success", server["status"] == "success"
    health = "healthy" if reached else "unreachable" if own else "unhealthy"
    return ServerStatus(
        server["name"],
        server["kind"],
        server["implementation"],
        "running" if there else "gone",
        health if there else "",
        float(node["since_seconds"]) if there else None,
        server["url"],
        node=node["node"],
    )
