"""What a server is made of. A user's own server is a subclass of one of three classes, in ten lines."""

from gymctl.server.agent import AgentConfig, AgentServer, Rollout, ServerReference
from gymctl.server.base import Server, ServerConfig
from gymctl.server.client import Client, HopFailed, LocalTransport
from gymctl.server.endpoints import endpoint, tool
from gymctl.server.message import Call, RefusedError, Reply, json_reply
from gymctl.server.model import ModelServer
from gymctl.server.resources import ResourcesServer, SeedRequest, VerifyRequest, VerifyResponse
from gymctl.server.sessions import Session
from gymctl.server.settings import Settings
from gymctl.server.transport import HttpTransport

__all__ = [
    "AgentConfig",
    "AgentServer",
    "Call",
    "Client",
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
