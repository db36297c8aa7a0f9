"""Serving the page: an address, a token, and a server until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import uvicorn

from gymctl.config.vocabulary import EVERY_INTERFACE_HOSTS, LOOPBACK, LOOPBACK_HOSTS, base_url
from gymctl.errors import GymctlError, InputError
from gymctl.viewer.access import TOKEN_PARAMETER, Access
from gymctl.viewer.app import create_app
from gymctl.viewer.runs import Runs

DEFAULT_PORT = 8190
TOKEN_VARIABLE = "GYMCTL_VIEW_TOKEN"  # noqa: S105 - the name of a variable
_SHORTEST_TOKEN = 16
_BACKLOG = 128


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """How the page is served."""

    host: str = LOOPBACK
    port: int | None = None
    """None: 8190, or a free one where that is taken."""
    with_token: bool = True
    allowed_hosts: tuple[str, ...] = ()
    """Names, in addition to the host's own, by which browsers may reach it."""


def serve(paths: Sequence[Path], options: ViewOptions, on_ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        paths: results files, and folders to look for them.
        options: the address, and who may open it.
        on_ready: takes the address to open once it can be.

    Raises:
        InputError: a path is missing, or the options are not safe.
        GymctlError: the address cannot be listened on.
    """
    token = choose_token(options)
    Runs(paths).check()
    access = Access(options.host, token, options.allowed_hosts)
    app = create_app(paths, access)
    with _listen(options) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        server = _Server(config, lambda: on_ready(page_address(options.host, port, token)), app.state.end_streams)
        server.run(sockets=[listener])


def choose_token(options: ViewOptions) -> str:
    """The token: the one in the environment, or a new one; empty without.

    Raises:
        InputError: the page would be open to a network, or the token in the environment is short.
    """
    if not options.with_token:
        if options.host not in LOOPBACK_HOSTS:
            hint = "leave out --no-token, or listen on 127.0.0.1"
            raise InputError(
                f"--no-token with --host {options.host}: anyone on the network could read the rollouts", hint
            )
        return ""
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        return secrets.token_urlsafe(24)
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        hint = f"use at least {_SHORTEST_TOKEN} printable ASCII characters"
        raise InputError(f"{TOKEN_VARIABLE}: the token is too short or has other characters", hint)
    return token


def page_address(host: str, port: int, token: str) -> str:
    """The address to open in a browser."""
    if host in EVERY_INTERFACE_HOSTS:
        host = socket.gethostname()
    address = base_url(host, port)
    if not token:
        return f"{address}/"
    return f"{address}/?{TOKEN_PARAMETER}={quote(token, safe='')}"


def _listen(options: ViewOptions) -> socket.socket:
    ports = [options.port]
    if options.port is None:
        ports = [DEFAULT_PORT, 0]
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    reason = OSError("no port")
    for port in ports:
        try:
            return socket.create_server((options.host, port or 0), family=family, backlog=_BACKLOG)
        except OSError as error:
            reason = error
    where = f"{options.host}:{ports[0]}"
    raise GymctlError(f"cannot listen on {where}: {reason.strerror or reason}", "choose another --host or --port")


class _Server(uvicorn.Server):
    """A server that reports when it accepts connections, and that it is about to stop."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then call ``on_ready``."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Call ``on_stop``, then stop."""
        self._on_stop()
        await super().shutdown(sockets)
