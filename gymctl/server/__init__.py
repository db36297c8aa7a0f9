"""Building blocks of a server. Your own server is a subclass of one of three classes, in about ten lines.

Names are imported when they are first used: a server has no use for what the other two kinds are made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gymctl.lazy import names_on_demand

if TYPE_CHECKING:
    from gymctl.server.agent import AgentConfig, AgentServer, Rollout, ServerReference
    from gymctl.server.base import Server, ServerConfig
    from gymctl.server.calls.client import Client, HopFailed, LocalTransport
    from gymctl.server.calls.http import HttpTransport
    from gymctl.server.conversation import Conversation
    from gymctl.server.endpoints import endpoint, tool
    from gymctl.server.message import Call, RefusedError, Reply, json_reply
    from gymctl.server.models.server import ModelServer
    from gymctl.server.resources import ResourcesServer, SeedRequest, VerifyRequest, VerifyResponse
    from gymctl.server.sessions import Session
    from gymctl.server.setting_types import ApiKey, EndpointUrl, HeaderText
    from gymctl.server.settings import Settings

__all__ = [
    "AgentConfig",
    "AgentServer",
    "ApiKey",
    "Call",
    "Client",
    "Conversation",
    "EndpointUrl",
    "HeaderText",
    "HopFailed",
    "HttpTransport",
    "LocalTransport",
    "ModelServer",
    "RefusedError",
    "Reply",
    "ResourcesServer",
    "Rollout",
    "SeedRequest",
    "Server",
    "ServerConfig",
    "ServerReference",
    "Session",
    "Settings",
    "VerifyRequest",
    "VerifyResponse",
    "endpoint",
    "json_reply",
    "tool",
]

_MODULES = {
    "agent": ("AgentConfig", "AgentServer", "Rollout", "ServerReference"),
    "base": ("Server", "ServerConfig"),
    "calls.client": ("Client", "HopFailed", "LocalTransport"),
    "conversation": ("Conversation",),
    "endpoints": ("endpoint", "tool"),
    "message": ("Call", "RefusedError", "Reply", "json_reply"),
    "models.server": ("ModelServer",),
    "resources": ("ResourcesServer", "SeedRequest", "VerifyRequest", "VerifyResponse"),
    "sessions": ("Session",),
    "setting_types": ("ApiKey", "EndpointUrl", "HeaderText"),
    "settings": ("Settings",),
    "calls.http": ("HttpTransport",),
}
__getattr__ = names_on_demand(__name__, _MODULES)
