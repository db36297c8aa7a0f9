"""What transports and processes need of a server, whichever class it has: they do not import ``base``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fastapi import FastAPI

    from gymctl.config.choices import LogFormat
    from gymctl.server.calls.client import Client
    from gymctl.server.endpoints import Endpoint
    from gymctl.server.message import Call, Reply
    from gymctl.server.run.log_level import LogLevel
    from gymctl.server.sessions import SessionStore
    from gymctl.server.settings import Settings


class HostedConfig(Protocol):
    """The part of a server's configuration that is about its process."""

    @property
    def num_workers(self) -> int | None:
        """Processes that serve the port; by default one."""

    @property
    def log_level(self) -> LogLevel | None:
        """The least severe lines that are logged."""

    @property
    def log_format(self) -> LogFormat | None:
        """The format of log lines."""


class HostedServer(Protocol):
    """A server as the transports, its process and its documentation see it."""

    sessions: SessionStore
    """Sessions of its callers."""

    @property
    def name(self) -> str:
        """The server's name in the configuration."""

    @property
    def settings(self) -> Settings:
        """Its view of the configuration."""

    @property
    def config(self) -> HostedConfig:
        """Its own fields, validated."""

    @property
    def client(self) -> Client:
        """Its way to other servers."""

    @property
    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """Endpoints by method and path."""

    @property
    def stateless(self) -> bool:
        """Whether no request depends on an earlier one."""

    @property
    def workers(self) -> int:
        """Processes that serve it."""

    @property
    def most_body_mb(self) -> float:
        """Size limit of a request's body in megabytes."""

    @property
    def has_routes(self) -> bool:
        """Whether the class adds FastAPI routes."""

    @property
    def application(self) -> FastAPI:
        """Its FastAPI application."""

    def routes(self, app: FastAPI) -> None:
        """Add FastAPI routes."""

    def share_with(self, workers: int) -> None:
        """Share the server's limits with this many processes."""

    async def handle(self, call: Call) -> Reply:
        """Answer one call."""

    async def startup(self) -> None:
        """Prepare before the first request."""

    async def shutdown(self) -> None:
        """Release what ``startup`` acquired."""
