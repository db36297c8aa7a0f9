"""The port that a collection answers ``/metrics`` on, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from gymctl.server.monitoring import import_prometheus, is_admitted


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread, which a process that ends does not wait for."""

    daemon_threads = True


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    """Logs no request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Log nothing."""


@contextmanager
def serving(address: str, token: str, registry: Any) -> Iterator[None]:
    """Answer with what a registry collects, while a block runs.

    Args:
        address: ``HOST:PORT``.
        token: only those who send it are answered; empty: everyone.
        registry: of ``prometheus_client``.

    Raises:
        OSError: the address cannot be listened on.
    """
    host, _, port = address.rpartition(":")
    application = _with_token(import_prometheus().make_wsgi_app(registry), token)
    kind = _ServerV6 if ":" in host else _Server
    with make_server(host, int(port), application, kind, _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            _end(server)
            thread.join()


def _end(server: _Server) -> None:
    """Have a server stop. It looks for that twice a second; a socket that no longer listens wakes it."""
    ending = threading.Thread(target=server.shutdown, name="metrics-end")
    ending.start()
    with suppress(OSError):  # a system on which a listening socket has nothing to shut down
        server.socket.shutdown(socket.SHUT_RDWR)
    ending.join()


def _with_token(application: Any, token: str) -> Any:
    """A WSGI application that answers only those who send the token; an empty one: everyone."""

    def answer(request: dict[str, Any], start_response: Any) -> Any:
        """The application's answer, or 401."""
        if is_admitted(token, request.get("HTTP_AUTHORIZATION")):
            return application(request, start_response)
        start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Length", "0")])
        return []

    return answer
