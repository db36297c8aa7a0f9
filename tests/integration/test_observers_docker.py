"""Prometheus and Alertmanager of a running stack: they scrape every server, and an alert reaches a webhook."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alert_receiver import receiving
from command_line import Folder
from free_ports import free_port as another_port

pytestmark = pytest.mark.docker

TOKEN = "token-of-the-metrics"
STACK = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml
observe:
  port: {port}
  token: {token}
  webhook: http://127.0.0.1:{webhook}/alerts
"""
SERVERS = {"head", "policy_model", "example_single_tool_call", "example_single_tool_call_simple_agent"}
SCRAPE = """\
import urllib.error, urllib.request
try:
    print(urllib.request.urlopen("http://127.0.0.1:8000/metrics").status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port)
    yield made
    made.clean()


def scraped(port: int) -> dict[str, str]:
    """The servers that Prometheus scrapes, and whether they answer."""
    query = urllib.parse.urlencode({"query": 'up{job="gymctl"}'})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=10) as reply:
        result: list[Any] = json.load(reply)["data"]["result"]
    return {item["metric"]["instance"].split(":")[0]: item["value"][1] for item in result}


def wait_until_scraped(port: int) -> None:
    deadline = time.monotonic() + 60
    while (answers := scraped(port)) != dict.fromkeys(SERVERS, "1"):
        assert time.monotonic() < deadline, answers
        time.sleep(0.5)


def test_a_stopped_server_is_an_alert_at_the_webhook(folder: Folder) -> None:
    port = another_port()
    with receiving("0.0.0.0") as receiver:
        text = STACK.format(port=port, token=TOKEN, webhook=receiver.port)
        (folder.path / "stack.yaml").write_text(text)
        started = folder.up("stack.yaml")
        assert started.returncode == 0, started.stderr
        wait_until_scraped(port)
        inside = folder.docker("exec", f"{folder.name}-policy_model-1", "python", "-c", SCRAPE)
        assert inside == "401\n", "without the token"
        user = folder.docker("exec", f"{folder.name}-gymctl-prometheus-1", "id", "-u")
        assert user == "10001\n"

        status = folder.gymctl("status")
        assert status.returncode == 0, status.stdout
        assert "6/6 healthy" in status.stdout
        folder.docker("stop", f"{folder.name}-example_single_tool_call-1")
        receiver.wait_for({"GymctlServerDown"})
    (alert,) = (alert for alert in receiver.alerts if alert["labels"]["alertname"] == "GymctlServerDown")
    assert alert["labels"]["instance"] == "example_single_tool_call:8080"
    assert alert["annotations"]["runbook"] == "docs/observability.md#gymctlserverdown"
