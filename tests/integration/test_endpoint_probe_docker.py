"""``gymctl up`` in containers: the endpoints are tried from there, and localhost is noted only where one fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Folder
from free_ports import free_port

pytestmark = pytest.mark.docker


def model(implementation: str, **fields: str) -> dict[str, object]:
    return {"responses_api_models": {implementation: {"entrypoint": "app.py", **fields}}}


def test_an_endpoint_is_tried_from_its_servers_container(tmp_path: Path) -> None:
    folder = Folder(tmp_path, free_port())
    # the stack's scripted model is the endpoint of another server of the stack: only containers reach it by this name
    inside = {"api_key": "k", "base_url": "http://scripted:8000/v1", "model": "a"}
    outside = {"openai_api_key": "k", "openai_base_url": f"http://localhost:{free_port()}/v1", "openai_model": "a"}
    configuration = {
        "scripted": model("scripted_model"),
        "policy": model("vllm_model", **inside),
        "dead": model("openai_model", **outside),
    }
    (tmp_path / "c.yaml").write_text(json.dumps(configuration))
    try:
        done = folder.up("c.yaml")
        assert done.returncode == 0, done.stderr
        (note,) = (line for line in done.stderr.splitlines() if "localhost" in line)
        assert note.startswith("note: dead: http://host.docker.internal:")
        assert "refuses connections; host.docker.internal replaces localhost in containers" in note
        assert "policy: " not in done.stderr.replace("policy: healthy", "")
    finally:
        folder.gymctl("down")
