"""A server that speaks as much of the Hugging Face Hub and of GitLab's model registry as a download needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Registry:
    """What the server has, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    token: str = ""
    artifact_host: str = ""
    requests: list[str] = field(default_factory=list)


@contextmanager
def registry() -> Iterator[Registry]:
    """A running server on a free port of the loopback interface."""
    state = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            state.requests.append(f"{self.command} {urlsplit(self.path).path}")
            if state.token and self.headers.get("Authorization") != f"Bearer {state.token}":
                self.reply(401, b"{}")
                return
            status, body = answer(state, self.path)
            self.reply(status, body)

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            if status == 404:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(state: Registry, path: str) -> tuple[int, bytes]:
    """Status and body for a path."""
    parts = urlsplit(path)
    query = parse_qs(parts.query)
    if parts.path.startswith("/api/datasets/"):
        listed = [
            {"type": "file", "path": name, "size": len(body), "oid": "0" * 40} for name, body in state.files.items()
        ]
        return 200, json.dumps(listed).encode()
    if parts.path == "/ml/api/2.0/mlflow/model-versions/get":
        known = query["name"] == ["math"] and query["version"] == ["1.0.0"]
        return (200, b'{"model_version": {"run_id": "r1"}}') if known else (404, b"{}")
    if parts.path == "/ml/api/2.0/mlflow/runs/get":
        folder = f"{state.artifact_host or state.url}/packages/{query['run_id'][0]}/"
        return 200, json.dumps({"run": {"info": {"artifact_uri": folder}}}).encode()
    name = parts.path.partition("/resolve/main/")[2] or parts.path.removeprefix("/packages/r1/")
    return (200, state.files[name]) if name in state.files else (404, b"{}")
