"""A receiver of alerts: what Alertmanager posts to it is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from background_server import in_background

PATIENCE_S = 300


@dataclass
class AlertReceiver:
    """Alerts that were received, and the port that they came to."""

    port: int
    alerts: list[dict[str, Any]] = field(default_factory=list)

    def firing(self) -> set[str]:
        """Names of the alerts that fired at some time."""
        return {alert["labels"]["alertname"] for alert in list(self.alerts) if alert["status"] == "firing"}

    def wait_for(self, names: Collection[str]) -> None:
        """Wait until all of them have fired."""
        for _ in self.until(names):
            time.sleep(0.2)

    def until(self, names: Collection[str]) -> Iterator[None]:
        """Go round until all of them have fired; it is a failure if that takes minutes."""
        deadline = time.monotonic() + PATIENCE_S
        while missing := set(names) - self.firing():
            assert time.monotonic() < deadline, f"not received: {sorted(missing)}; received: {sorted(self.firing())}"
            yield


@contextmanager
def receiving(host: str = "127.0.0.1") -> Iterator[AlertReceiver]:
    """A receiver that listens on ``host``."""

    class Handler(BaseHTTPRequestHandler):
        """Takes what Alertmanager posts."""

        def do_POST(self) -> None:
            """Keep the alerts of a notification."""
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.alerts.extend(json.loads(body)["alerts"])
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer((host, 0), Handler)
    receiver = AlertReceiver(server.server_address[1])
    with in_background(server):
        yield receiver
