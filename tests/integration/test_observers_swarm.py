"""A stack with ``observe`` and ``logs`` on a Swarm of one node: data for every query, lines at rsyslog, an alert."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from alert_receiver import AlertReceiver, receiving
from monitoring_queries import panels, selectors
from rsyslog_container import Rsyslog, running_rsyslog
from swarm_folder import AGENT, TOOL, SwarmFolder, stack_images
from swarm_lab import Lab

pytestmark = [pytest.mark.docker, pytest.mark.lab]

NAME = "watched"
MODEL = "policy_model"
STACK = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/{tool}/configs/{tool}.yaml
- resources_servers/example_session_state_mgmt/configs/example_session_state_mgmt.yaml
policy_model:
  responses_api_models:
    scripted_model:
      latency_ms: 150
log_format: json
observe:
  token: token-of-the-metrics
  webhook: http://{gateway}:{webhook}/alerts
logs:
  driver: syslog
  options:
    syslog-address: tcp://{rsyslog}:514
    syslog-facility: local3
"""
ASK = """\
import json, sys, urllib.parse, urllib.request
missing = []
for title, query in json.loads(sys.argv[1]):
    parameters = urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(f"http://127.0.0.1:9090/api/v1/query?{parameters}") as reply:
        if not json.load(reply)["data"]["result"]:
            missing.append([title, query])
print(json.dumps(missing))
"""


@dataclass(frozen=True)
class WatchedStack:
    """The stack, and what is outside of it."""

    folder: SwarmFolder
    receiver: AlertReceiver
    rsyslog: Rsyslog

    def on_node(self, *arguments: str) -> str:
        """What a docker command prints on the node."""
        return self.folder.lab.on(self.folder.lab.names[0], *arguments)

    def without_data(self, queries: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The queries that the stack's Prometheus answers with nothing."""
        label = f"label=com.docker.swarm.service.name={NAME}_gymctl-prometheus"
        container = self.on_node("ps", "--quiet", "--latest", "--filter", label)
        image = json.loads((self.folder.path / ".gymctl/stack.json").read_text())["image"]
        output = self.on_node(
            "run", "--rm", "--log-driver", "json-file", "--network", f"container:{container}", "--entrypoint", "python",
            image, "-c", ASK, json.dumps(queries),
        )  # fmt: skip
        return [(title, query) for title, query in json.loads(output)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedStack]:
    lab = Lab(f"gymctl-test-watched-{os.getpid()}", 1, shared=tmp_path_factory.mktemp("swarm"))
    path = lab.shared / NAME
    path.mkdir()
    try:
        lab.up()
        with receiving("0.0.0.0") as receiver, running_rsyslog("--network", lab.network) as rsyslog:
            gateway = rsyslog.on_network(lab.network, "Gateway")
            address = rsyslog.on_network(lab.network, "IPAddress")
            text = STACK.format(tool=TOOL, gateway=gateway, webhook=receiver.port, rsyslog=address)
            (path / "stack.yaml").write_text(text)
            lab.load(stack_images(path))
            folder = SwarmFolder(lab, path)
            folder.up("stack.yaml")
            yield WatchedStack(folder, receiver, rsyslog)
            folder.gymctl("down")
    finally:
        lab.down()


def test_every_query_has_data_while_a_collection_runs(stack: WatchedStack) -> None:
    status = stack.folder.status()
    assert {"gymctl-prometheus", "gymctl-alertmanager"} <= set(status)
    assert [name for name, server in status.items() if not server["ok"]] == []
    missing = [*panels(), *selectors()]
    assert len(missing) > 40
    collection = stack.folder.collecting(400)
    while missing and collection.poll() is None:
        missing = stack.without_data(missing)
    stack.folder.results(collection, 2000)
    assert missing == []


def test_log_lines_reach_rsyslog_with_the_names_of_their_tasks(stack: WatchedStack) -> None:
    tags = {name: f"local3 {NAME}_{name}.1." for name in (MODEL, TOOL, AGENT, "head")}
    deadline = time.monotonic() + 60
    while absent := {name for name, tag in tags.items() if not any(tag in line for line in stack.rsyslog.lines())}:
        assert time.monotonic() < deadline, (absent, stack.rsyslog.lines()[-20:])
        time.sleep(0.5)
    line = next(line for line in stack.rsyslog.lines() if tags[MODEL] in line and "{" in line)
    assert json.loads("{" + line.partition("{")[2])["server"] == MODEL
    assert '"server":' in stack.folder.gymctl("logs", "--tail", 5, MODEL), "Docker keeps a copy by default"


def test_a_stopped_server_is_an_alert_at_the_webhook(stack: WatchedStack) -> None:
    stack.on_node("service", "scale", "--detach", f"{NAME}_{TOOL}=0")
    stack.receiver.wait_for({"GymctlServerDown"})
    instances = {
        alert["labels"]["instance"]
        for alert in stack.receiver.alerts
        if alert["labels"]["alertname"] == "GymctlServerDown"
    }
    assert instances == {f"{TOOL}:8080"}
