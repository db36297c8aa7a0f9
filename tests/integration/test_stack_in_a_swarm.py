"""A translated document in a real Swarm of one node: what the translation says of Swarm is so."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stack"))

from swarm_lab import Lab
from test_compose_roundtrip import made_texts
from text_strategies import NASTY

from gymctl.stack import ComposeDocument
from gymctl.stack.compose.yaml import render_document
from gymctl.stack.swarm import SwarmOptions, translate

pytestmark = pytest.mark.docker

SECRET = "se cret$ {{ value }}\n"
TEXTS = {f"T{number}": text for number, text in enumerate([*NASTY, *made_texts(100)])}
_LATE = """sleep 4; echo "{\\"time\\": $(date +%s.%N)}"; touch /tmp/ready; exec sleep 600"""
_TELL = "\n".join(
    (
        "import json, os, time",
        "mounts = [line.split()[1:4] for line in open('/proc/mounts')]",
        "told = {'env': dict(os.environ), 'mounts': mounts, 'time': time.time()}",
        "print(json.dumps(told), flush=True)",
        "time.sleep(600)",
    )
)


@pytest.fixture(scope="module")
def node(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    shared = tmp_path_factory.mktemp("shared")
    lab = Lab(f"gymctl-test-translated-{os.getpid()}", 1, shared=shared)
    try:
        lab.up([image])
        yield lab
    finally:
        lab.down()


def test_what_the_translation_says_of_a_swarm_is_so(node: Lab, image: str, tmp_path: Path) -> None:
    common = {"image": image, "pull_policy": "never", "init": True, "read_only": True, "tmpfs": ["/tmp"]}
    document = ComposeDocument.model_validate(
        {
            "name": "told",
            "services": {
                "late": {
                    **common,
                    "command": ["sh", "-c", _LATE],
                    "healthcheck": {
                        "test": ["CMD-SHELL", "test -e /tmp/ready"],
                        "start_period": "60s",
                        "start_interval": "500ms",
                    },
                },
                "teller": {
                    **common,
                    "command": ["python", "-c", _TELL],
                    "environment": TEXTS,
                    "secrets": ["GYM_SECRET"],
                    "shm_size": "8mb",
                    "depends_on": {"late": {"condition": "service_healthy"}},
                },
            },
            "secrets": {"GYM_SECRET": {"file": "./secret"}},
        }
    )
    (tmp_path / "secret").write_text(SECRET)
    translation = translate(document, SwarmOptions(contents={"./secret": SECRET.encode()}))
    file = tmp_path / "stack.yaml"
    file.write_text(render_document(translation.document, ("# test",)), encoding="utf-8")
    manager = node.names[0]
    node.on(manager, "stack", "deploy", "--resolve-image", "never", "--detach=true", "-c", str(file), translation.name)

    greeting, late = _first_json(node, "told_teller"), _first_json(node, "told_late")
    assert greeting["time"] > late["time"]
    assert {name: greeting["env"].get(name) for name in TEXTS} == TEXTS
    assert greeting["env"]["GYM_SECRET"] == SECRET
    mounts = {target: (kind, options) for target, kind, options in greeting["mounts"]}
    assert mounts["/tmp"][0] == "tmpfs"
    assert mounts["/dev/shm"][0] == "tmpfs"
    assert "size=8192k" in mounts["/dev/shm"][1]


def _first_json(node: Lab, service: str, seconds: float = 60) -> dict[str, Any]:
    """The first line of JSON that a service printed."""
    deadline = time.monotonic() + seconds
    while True:
        lines = node.on(node.names[0], "service", "logs", "--raw", service).splitlines()
        for line in lines:
            if line.startswith("{"):
                return dict(json.loads(line))
        tasks = node.on(node.names[0], "service", "ps", "--no-trunc", service)
        assert time.monotonic() < deadline, f"{lines}\n{tasks}"
        time.sleep(0.5)
