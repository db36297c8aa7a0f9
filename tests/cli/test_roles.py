"""Two machines on one: a coordinator and a worker, each with processes and folders of its own, joined by the head."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli_stack import CommandResult, Gymctl, contents
from free_ports import free_port

from gymctl import assets

pytestmark = pytest.mark.processes

COORDINATOR = """\
head_server: {{host: 127.0.0.1, port: {port}}}
example_resources:
  resources_servers:
    example_single_tool_call: {{entrypoint: app.py, domain: agent}}
example_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {{type: resources_servers, name: example_resources}}
      model_server: {{type: responses_api_models, name: policy_model}}
"""
WORKER = """\
head_server: {{host: 127.0.0.1, port: {port}}}
policy_model:
  responses_api_models:
    scripted_model: {{entrypoint: app.py, host: 127.0.0.1}}
"""
AGENT_OF_THE_WORKER = """\
their_resources:
  resources_servers:
    example_single_tool_call: {entrypoint: app.py, host: 127.0.0.1, domain: agent}
their_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      host: 127.0.0.1
      resources_server: {type: resources_servers, name: their_resources}
      model_server: {type: responses_api_models, name: policy_model}
"""
ROWS = "resources_servers/example_single_tool_call/data/example.jsonl"


@dataclass(frozen=True)
class Machines:
    """Two folders, and a way to run a command in one of them."""

    folders: dict[str, Path]
    """Of the ``coordinator`` and the ``worker``."""
    head: str
    """The address of the coordinator's head."""
    gymctl: Gymctl
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, where: str, *arguments: object) -> CommandResult:
        self.monkeypatch.chdir(self.folders[where])
        return self.gymctl(*arguments)


@pytest.fixture
def machines(gymctl: Gymctl, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    monkeypatch.delenv("GYMCTL_HEAD_TOKEN", raising=False)
    port = free_port()
    folders = {name: folder / name for name in ("coordinator", "worker")}
    for name, text in (("coordinator", COORDINATOR), ("worker", WORKER)):
        folders[name].mkdir()
        (folders[name] / f"{name}.yaml").write_text(text.format(port=port))

    run = Machines(folders=folders, head=f"http://127.0.0.1:{port}", gymctl=gymctl, monkeypatch=monkeypatch)
    yield run
    for name, place in folders.items():
        if (place / ".gymctl" / "stack.json").exists():
            run(name, "down")


def coordinator_up(run: Machines) -> Path:
    up = ["up", "coordinator.yaml", "--role", "coordinator", "--engine", "local"]
    result = run("coordinator", *up)
    assert result.code == 0, result.err
    assert "policy_model: servers of other machines" not in result.out
    return run.folders["coordinator"] / ".gymctl" / "head-token"


def worker_up(run: Machines, *options: object) -> CommandResult:
    return run("worker", "up", "worker.yaml", "--role", "worker", "--engine", "local", "--node", "gpu1", *options)


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as reply:
        return json.load(reply)


def statuses(run: Machines) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in json.loads(run("coordinator", "status", "--json").out)}


def test_a_worker_registers_serves_rollouts_and_leaves(machines: Machines) -> None:
    token = coordinator_up(machines)
    assert token.stat().st_mode & 0o077 == 0
    result = worker_up(machines, "--token-file", token)
    assert result.code == 0, result.err
    assert f"registered with the head at {machines.head}" in result.out

    status = statuses(machines)["policy_model"]
    assert (status["state"], status["node"], status["ok"]) == ("running", "gpu1", True)
    assert {item["process_name"] for item in get(f"{machines.head}/server_instances")} == {
        "example_resources",
        "example_agent",
        "policy_model",
    }
    seen_by_nemo_gym = get(f"{machines.head}/global_config_dict_yaml")
    assert "policy_model:" in seen_by_nemo_gym and token.read_text().strip() not in seen_by_nemo_gym

    shutil.copy(assets.folder("services") / ROWS, machines.folders["coordinator"] / "rows.jsonl")
    collect = ["collect", "--input", "rows.jsonl", "--output", "rollouts.jsonl", "--agent", "example_agent"]
    result = machines("coordinator", *collect)
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in (machines.folders["coordinator"] / "rollouts.jsonl").open()]
    assert len(rows) == 5 and all(row["reward"] == 1.0 for row in rows)

    assert machines("worker", "down").code == 0
    assert "policy_model" not in statuses(machines)


def test_a_coordinator_collects_from_agents_of_workers_too(machines: Machines) -> None:
    token = coordinator_up(machines)
    place = machines.folders["coordinator"]
    rows = (assets.folder("services") / ROWS).read_text()
    (place / "rows.jsonl").write_text(rows)
    collect = [
        "collect",
        "--input",
        "rows.jsonl",
        "--output",
        "rollouts.jsonl",
        "--limit",
        "1",
        "--stall",
        "5",
        "--agent",
    ]
    result = machines("coordinator", *collect, "their_agent")
    assert result.code == 2 and "the stack has no agent 'their_agent'" in result.err

    with (machines.folders["worker"] / "worker.yaml").open("a") as file:
        file.write(AGENT_OF_THE_WORKER)
    assert worker_up(machines, "--token-file", token).code == 0
    result = machines("coordinator", *collect, "their_agent")
    assert result.code == 0, result.err
    rollout = json.loads((place / "rollouts.jsonl").read_text())
    assert rollout["agent_ref"] == {"name": "their_agent"} and rollout["reward"] == 1.0


def test_where_no_agent_is_nothing_is_collected(machines: Machines) -> None:
    token = coordinator_up(machines)
    assert worker_up(machines, "--token-file", token).code == 0
    (machines.folders["worker"] / "rows.jsonl").write_text((assets.folder("services") / ROWS).read_text())
    result = machines("worker", "collect", "--input", "rows.jsonl", "--output", "rollouts.jsonl", "--agent", "any")
    assert result.code == 2
    assert result.err == "error: the stack worker has no agent; collect on the coordinator\n"
    assert not (machines.folders["worker"] / "rollouts.jsonl").exists()


def test_a_wrong_token_is_refused_and_says_where_the_right_one_is(machines: Machines, tmp_path: Path) -> None:
    coordinator_up(machines)
    wrong = tmp_path / "token"
    wrong.write_text("not-the-token\n")
    result = worker_up(machines, "--token-file", wrong)
    assert result.code == 1
    assert "refuses gpu1: the token does not match this head's" in result.err and ".gymctl/head-token" in result.err
    assert "Traceback" not in result.err
    assert get(f"{machines.head}/nodes") == []


def test_a_head_without_a_role_takes_no_workers(machines: Machines) -> None:
    result = machines("worker", "up", "worker.yaml", "--engine", "local")
    assert result.code == 0, result.err
    body = json.dumps({"token": "", "node": "x", "servers": []}).encode()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(
            urllib.request.Request(f"{machines.head}/nodes", body, {"content-type": "application/json"})
        )
    assert refused.value.code == 403 and "--role coordinator" in refused.value.read().decode()


def test_a_head_alone_lists_those_who_come(machines: Machines) -> None:
    head = machines.folders["coordinator"]
    (head / "head.yaml").write_text(f"head_server: {{host: 127.0.0.1, port: {machines.head.rpartition(':')[2]}}}\n")
    result = machines("coordinator", "up", "head.yaml", "--role", "head", "--engine", "local")
    assert result.code == 0, result.err
    assert worker_up(machines, "--token-file", head / ".gymctl" / "head-token").code == 0
    assert [node["node"] for node in get(f"{machines.head}/nodes")] == ["gpu1"]


@pytest.mark.parametrize(
    ("where", "arguments", "message"),
    [
        ("worker", ["worker.yaml", "--role", "worker"], "a worker needs the head's token"),
        ("worker", ["worker.yaml", "--role", "boss"], "'boss' is not one of"),
        ("worker", ["worker.yaml", "--node", "x"], "--role"),
        (
            "coordinator",
            ["coordinator.yaml", "--role", "coordinator", "++head_server.host=null"],
            "no address for the head",
        ),
        ("coordinator", ["coordinator.yaml"], "'policy_model', which is not defined"),
        ("worker", ["worker.yaml", "--role", "worker", "--token-file", "nowhere"], "cannot be read"),
    ],
)
def test_what_is_missing_is_told_and_nothing_is_written(
    machines: Machines, where: str, arguments: list[str], message: str
) -> None:
    before = contents(machines.folders[where])
    result = machines(where, "up", *arguments, "--engine", "local")
    assert result.code == 2 and message in result.err
    assert contents(machines.folders[where]) == before


def test_an_address_that_is_not_this_machines_is_refused(machines: Machines) -> None:
    place: Path = machines.folders["worker"]
    (place / "token").write_text("secret-token\n")
    text = (place / "worker.yaml").read_text().replace("host: 127.0.0.1}", "host: 192.0.2.7}")
    (place / "worker.yaml").write_text(text)
    result = worker_up(machines, "--token-file", "token")
    assert result.code == 2 and "192.0.2.7 is not an address of this machine" in result.err


def test_a_head_at_an_address_that_is_not_this_machines_is_refused(machines: Machines) -> None:
    place: Path = machines.folders["coordinator"]
    text = (place / "coordinator.yaml").read_text().replace("host: 127.0.0.1,", "host: 192.0.2.7,")
    (place / "coordinator.yaml").write_text(text)
    result = machines("coordinator", "up", "coordinator.yaml", "--role", "coordinator", "--engine", "local")
    message = "error: coordinator.yaml:1: head_server.host: 192.0.2.7 is not an address of this machine; set it to"
    assert result.code == 2 and result.err.splitlines()[-1].startswith(message)
    assert set(contents(place)) == {"coordinator.yaml"}


def test_a_worker_that_dies_is_seen_as_gone(machines: Machines) -> None:
    token = coordinator_up(machines)
    assert worker_up(machines, "--token-file", token).code == 0
    pid = int((machines.folders["worker"] / ".gymctl" / "local.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while statuses(machines)["policy_model"]["state"] != "gone":
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert machines("coordinator", "status").code == 1
