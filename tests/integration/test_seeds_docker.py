"""Lines of NeMo Gym's pages (tests/seeds) on a real engine: two nodes on one machine, and one server alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Folder

from gymctl.engines.runner import run

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import seeds_table

pytestmark = pytest.mark.docker
BLOCKS = {(block["seed"], block["line"]): block["text"] for block in seeds_table.table()["blocks"]}
SERVER = "/opt/gymctl/services/resources_servers/example_single_tool_call"


def fetched(url: str, body: dict[str, object] | None = None) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None)
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=5) as reply:
        return json.load(reply)


def test_coordinator_and_worker_on_one_machine(tmp_path: Path, free_port: int, image: str) -> None:
    folder = Folder(tmp_path, free_port)
    text = BLOCKS["001", 111].replace("type: train\n", "type: train\n        license: Apache 2.0\n")
    (tmp_path / "coordinator-config.yaml").write_text(text)
    (tmp_path / "worker-config.yaml").write_text(BLOCKS["001", 157])
    line = ["ng_run", "+config_paths=[coordinator-config.yaml,worker-config.yaml]"]
    try:
        up = folder.gymctl(*line, "--name", folder.name, f"+head_server.port={free_port}")
        assert up.returncode == 0, up.stderr
        assert "the head is published on 127.0.0.1" in up.stderr
        status = folder.gymctl("ng_status")
        assert (status.returncode, status.stdout.count("  healthy  ")) == (0, 4), status.stdout

        (printed,) = json.loads(BLOCKS["001", 320])
        servers = {item["process_name"]: item for item in fetched(f"http://127.0.0.1:{free_port}/server_instances")}
        theirs = {"host": "192.168.1.100", "url": "http://192.168.1.100:8080", "pid": 12345, "start_time": 1704067200.0}
        ours = {key: value for key, value in printed.items() if key not in theirs}
        assert {key: servers["example_resources"][key] for key in ours} == ours
        assert theirs.keys() <= servers["example_resources"].keys()

        answer = yaml.safe_load(fetched(f"http://127.0.0.1:{free_port}/global_config_dict_yaml"))
        printed = yaml.safe_load(BLOCKS["001", 349])
        assert printed.keys() <= answer.keys()
        assert answer["example_resources"]["resources_servers"]["example_single_tool_call"]["port"] == 8080
    finally:
        folder.gymctl("down")


def test_a_server_run_by_hand(free_port: int, image: str) -> None:
    match = re.search(r"NEMO_GYM_CONFIG_DICT='(.*?)'", BLOCKS["001", 228], re.DOTALL)
    assert match
    name = f"gymctl-test-by-hand-{os.getpid()}-{free_port}"
    start = ["docker", "run", "--rm", "--name", name, "-p", f"127.0.0.1:{free_port}:8080", "-w", SERVER]
    start += ["-e", f"NEMO_GYM_CONFIG_DICT={match[1]}"]
    refused = subprocess.run([*start, image, "python", "app.py"], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr.startswith("error: NEMO_GYM_CONFIG_PATH is not set")) == (2, True)
    try:
        run([*start, "-d", "-e", "NEMO_GYM_CONFIG_PATH=example_resources", image, "python", "app.py"], timeout=60)
        until = time.monotonic() + 30
        while True:
            try:
                answer = fetched(f"http://127.0.0.1:{free_port}/get_weather", {"city": "Lisbon"})
                break
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < until
                time.sleep(0.2)
        assert answer["city"] == "Lisbon"
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
