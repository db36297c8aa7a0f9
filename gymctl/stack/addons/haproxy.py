"""HAProxy in front of servers: the proxy of one server's replicas, and the edge that clients outside call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gymctl.config import MOST_REPLICAS, ServerKind
from gymctl.stack.templates import render_template

HEALTH_PORT = 8404
"""Port of the proxy's own health check, and of its ``/metrics``."""
TOKENS_PORT = 8405
"""Port of the proxy's loopback address on which new tokens are set."""


class Stickiness(StrEnum):
    """Whether the calls of one session go to one replica."""

    NEVER = "never"
    PREFERRED = "preferred"
    ALWAYS = "always"


# Environments keep state; a model may have its prompts cached; an agent starts from scratch each time.
_STICKINESS = {ServerKind.RESOURCES: Stickiness.ALWAYS, ServerKind.MODEL: Stickiness.PREFERRED}


@dataclass(frozen=True)
class ProxyTarget:
    """A server that a proxy passes calls on to."""

    server: str
    """Its name in the proxy's own error replies."""
    service: str
    """Host name that has the addresses of its replicas."""
    port: int
    """Port of its replicas."""
    sticky: Stickiness
    outer_port: int = 0
    """Port that the proxy listens on, where that is not ``port``."""

    @classmethod
    def of(cls, kind: ServerKind, *, server: str, service: str, port: int, outer_port: int = 0) -> ProxyTarget:
        """A server of ``kind``, which decides whether its sessions stay on one replica."""
        return cls(
            server=server,
            service=service,
            port=port,
            sticky=_STICKINESS.get(kind, Stickiness.NEVER),
            outer_port=outer_port,
        )


def render_proxy(template: str, cookie: str, **values: Any) -> str:
    """HAProxy's configuration from a template; ``cookie`` names the cookie that keeps a session on its replica."""
    common = {"cookie": cookie, "most": MOST_REPLICAS, "health_port": HEALTH_PORT, "tokens_port": TOKENS_PORT}
    return render_template(template, **common, **values)
