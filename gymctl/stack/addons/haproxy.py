"""HAProxy in front of servers: the proxy of one server's replicas, and the edge that clients outside call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gymctl import assets
from gymctl.config import MOST_REPLICAS, ServerKind

HEALTH_PORT = 8404
"""Port of the proxy's own health check, and of its ``/metrics``."""


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
    import jinja2

    environment = jinja2.Environment(  # noqa: S701 - no HTML, and names are those of hosts
        loader=jinja2.FileSystemLoader(assets.folder("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    common = {"cookie": cookie, "most": MOST_REPLICAS, "health_port": HEALTH_PORT}
    return environment.get_template(template).render(**common, **values)
