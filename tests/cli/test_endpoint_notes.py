"""``gymctl up`` tries the endpoints of model servers, and notes those that do not answer."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cli_stack import GOOD, Gymctl
from free_ports import free_port

from gymctl.engines.collections import registered

pytestmark = pytest.mark.processes


class Handler(BaseHTTPRequestHandler):
    """Serves the model ``a`` by Chat Completions only."""

    def do_GET(self) -> None:
        self._reply(200, {"data": [{"id": "a"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._reply(400 if self.path.endswith("chat/completions") else 404, {})

    def _reply(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def model(implementation: str, **fields: str) -> str:
    return json.dumps({"responses_api_models": {implementation: {"entrypoint": "app.py", **fields}}})


@pytest.mark.parametrize("key", ["", "tokens: true\n"], ids=["open", "tokens"])
def test_notes_of_endpoints_and_a_running_collection(gymctl: Gymctl, folder: Path, endpoint: str, key: str) -> None:
    dead = f"http://127.0.0.1:{free_port()}/v1"
    configuration = (
        key
        + GOOD
        + "\n".join(
            [
                "chat_only: " + model("openai_model", openai_base_url=endpoint, openai_api_key="k", openai_model="a"),
                "unknown: " + model("vllm_model", base_url=endpoint, api_key="k", model="x"),
                "right: " + model("vllm_model", base_url=endpoint, api_key="k", model="a"),
                "dead: " + model("vllm_model", base_url=dead, api_key="k", model="a"),
                "",
            ]
        )
    )
    (folder / "c.yaml").write_text(configuration)
    up = ("up", "c.yaml", "--engine", "local", f"+head_server.port={free_port()}")
    try:
        result = gymctl(*up)
        assert result.code == 0
        assert [line for line in result.lines if line.startswith("note:")] == [
            f"note: chat_only: {endpoint} speaks Chat Completions only; use vllm_model, which converts",
            "note: unknown: no model 'x'; it serves a",
            f"note: dead: {dead} refuses connections",
        ]
        result = gymctl(*up, "--no-probe")
        assert (result.code, [line for line in result.lines if line.startswith("note:")]) == (0, [])

        assert "collecting" not in gymctl("status").out
        with registered(folder, folder / "out.jsonl"):
            text = gymctl("status").out
            listed = json.loads(gymctl("status", "--json").out)
        assert "collecting into" in text
        assert "to stop it: kill -INT " in text
        servers = json.loads(gymctl("status", "--json").out)
        assert "collection" not in {entry["kind"] for entry in servers}
        assert [entry["name"] for entry in listed[:-1]] == [entry["name"] for entry in servers]
        assert listed[-1] == {
            "name": str(folder / "out.jsonl"), "kind": "collection", "state": "running", "ok": True,
            "output": str(folder / "out.jsonl"), "pid": os.getpid(), "stop": f"kill -INT {os.getpid()}",
        }  # fmt: skip
    finally:
        gymctl("down")
