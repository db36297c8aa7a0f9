"""Clients of NeMo Gym, unmodified, call the exposed servers of a local stack by an address of the machine."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_stack import EXAMPLE, CommandResult, Gymctl
from free_ports import free_port
from upstream_client import PYTHONS, client_rewards

pytestmark = [pytest.mark.processes, pytest.mark.enable_socket]

REWARDS = [1.0] * 8 + [0.0] * 2
AGENT = "example_multi_step_simple_agent"


@pytest.fixture
def address() -> str:
    """An address of this machine that is not a loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has loopback addresses only")
        return str(probe.getsockname()[0])


@pytest.fixture
def up(gymctl: Gymctl, folder: Path) -> Iterator[Callable[..., tuple[CommandResult, int]]]:
    """Start the quickstart stack with further options; how the command ended, and the head's port."""

    def start(*options: str) -> tuple[CommandResult, int]:
        port = free_port()
        return gymctl("up", EXAMPLE, "--engine", "local", f"+head_server.port={port}", *options), port

    yield start
    if (folder / ".gymctl" / "stack.json").exists():
        gymctl("down")


def addresses(host: str, port: int) -> dict[str, tuple[str, int]]:
    """Where the servers are, as the head tells a client."""
    with urllib.request.urlopen(f"http://{host}:{port}/server_instances") as reply:
        return {item["process_name"]: (item["host"], item["port"]) for item in json.load(reply)}


def status(host: str, port: int) -> int:
    """The status of a call of a server by that address."""
    with urllib.request.urlopen(f"http://{host}:{port}/") as reply:
        return int(reply.status)


def test_on_loopback_calls_are_taken_and_a_note_says_by_whom(up: Callable[..., tuple[CommandResult, int]]) -> None:
    started, port = up("--expose", "agents")
    assert started.code == 0, started
    assert "every user of this machine can call" in started.err
    host, agent_port = addresses("127.0.0.1", port)[AGENT]
    assert f"note: {AGENT} is exposed at http://127.0.0.1:{agent_port}" in started.err
    assert status(host, agent_port) == 200


@pytest.mark.parametrize("clients", ["192.0.2.128/25", "203.0.113.0/24,192.0.2.200"])
def test_the_list_is_enforced_and_this_machine_may_call(
    up: Callable[..., tuple[CommandResult, int]], address: str, clients: str
) -> None:
    started, port = up("+head_server.host=0.0.0.0", "--expose", "agents", "--expose-to", clients)
    assert started.code == 0, started
    assert f"exposed servers accept calls from {clients.partition(',')[0]}" in started.err
    seen = addresses(address, port)
    host, agent_port = seen[AGENT]
    assert host == address
    assert seen["policy_model"][0] == "127.0.0.1"  # it is not exposed, and listens on the loopback address
    assert status(host, agent_port) == 200


def test_an_address_that_others_reach_needs_a_list(up: Callable[..., tuple[CommandResult, int]], folder: Path) -> None:
    refused, _ = up("+head_server.host=0.0.0.0", "--expose", "agents")
    assert refused.code == 2
    assert "--expose on 0.0.0.0 needs the addresses that may call" in refused.err
    assert not (folder / ".gymctl" / "stack.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--expose", "agnets"], "did you mean 'agents'?"),
        (["--expose-to", "10.0.0.0/8"], "--expose-to needs --expose"),
        (["--expose", "agents", "--expose-to", "10.0.0.0/8"], "no effect on a loopback address"),
        (["--expose", "agents", "--expose-to", "10.0.0.1/8"], "write 10.0.0.0/8"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(
    up: Callable[..., tuple[CommandResult, int]], folder: Path, options: list[str], message: str
) -> None:
    refused, _ = up(*options)
    assert refused.code == 2
    assert message in refused.err
    assert list(folder.iterdir()) == []


def posted(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return dict(json.load(reply))


def test_a_trainer_calls_what_it_finds_in_the_heads_dict(up: Callable[..., tuple[CommandResult, int]]) -> None:
    started, port = up("--expose", "servers")
    assert started.code == 0, started
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/global_config_dict_yaml") as reply:
        values = yaml.safe_load(json.load(reply))
    agents = {
        name: next(iter(value["responses_api_agents"].values()))
        for name, value in values.items()
        if isinstance(value, dict) and "responses_api_agents" in value
    }
    rows = [json.loads(line) for line in (EXAMPLE / "rows.jsonl").read_text().splitlines()]
    for fields in agents.values():
        assert status(fields["host"], fields["port"]) == 200
    rewards = []
    for row in rows:
        agent = agents[row["agent_ref"]["name"]]
        rewards.append(posted(f"http://{agent['host']}:{agent['port']}/run", row)["reward"])
    assert rewards == REWARDS
    tools = values["example_single_tool_call"]["resources_servers"]["example_single_tool_call"]
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
    response = {
        "id": "r",
        "object": "response",
        "output": [message],
        "model": "m",
        "created_at": 0,
        "status": "completed",
    }
    verdict = posted(f"http://{tools['host']}:{tools['port']}/verify", {**rows[0], "response": response})
    assert verdict["reward"] == 1.0


@pytest.mark.upstream
@pytest.mark.parametrize("release", PYTHONS)
def test_clients_collect_by_the_address_of_the_machine(
    up: Callable[..., tuple[CommandResult, int]], address: str, release: str
) -> None:
    options = ["+head_server.host=0.0.0.0", "--expose", "agents", "--expose-to", "203.0.113.0/24"]
    started, port = up(*options)
    assert started.code == 0, started
    assert client_rewards(release, address, port, EXAMPLE / "rows.jsonl") == REWARDS
