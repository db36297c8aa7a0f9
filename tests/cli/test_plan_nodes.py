"""What each machine of a stack will hold, and what must be open between them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_stack import Gymctl

COORDINATOR = """\
head_server: {host: 192.168.1.100, port: 11000}
tools:
  resources_servers:
    example_single_tool_call: {entrypoint: app.py, domain: agent, host: 192.168.1.100}
my_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      host: 192.168.1.100
      replicas: 3
      resources: {cpus: 4, memory: 16gb}
      resources_server: {type: resources_servers, name: tools}
      model_server: {type: responses_api_models, name: policy_model}
"""
WORKER = """\
policy_model:
  responses_api_models:
    scripted_model: {entrypoint: app.py, host: 192.168.1.101, resources: {gpus: 2}}
far_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      host: 192.168.1.102
      resources_server: {type: resources_servers, name: tools}
      model_server: {type: responses_api_models, name: policy_model}
"""
EDGE = "policy_model: {responses_api_models: {scripted_model: {entrypoint: app.py}}}\n"


@pytest.fixture
def files(folder: Path) -> tuple[str, str]:
    (folder / "coordinator.yaml").write_text(COORDINATOR)
    (folder / "workers.yaml").write_text(WORKER)
    return "coordinator.yaml", "workers.yaml"


def planned(gymctl: Gymctl, *arguments: str) -> dict[str, dict[str, Any]]:
    result = gymctl("plan-nodes", *arguments, "--json")
    assert result.code == 0, result.err
    return {machine["address"]: machine for machine in json.loads(result.out)}


def test_every_server_is_on_one_machine_and_sizes_are_the_larger_of_two(gymctl: Gymctl, files: tuple[str, str]) -> None:
    machines = planned(gymctl, *files)
    assert {address: (item["role"], item["holds"]) for address, item in machines.items()} == {
        "192.168.1.100": ("coordinator", ["head", "tools", "my_agent x 3"]),
        "192.168.1.101": ("worker", ["policy_model"]),
        "192.168.1.102": ("worker", ["far_agent"]),
    }
    assert machines["192.168.1.100"]["cpus"] == 12  # three agents of four; the pattern wants eight
    assert machines["192.168.1.100"]["memory_gb"] == pytest.approx(48.1, abs=0.1)
    assert machines["192.168.1.101"]["cpus"] == 4
    assert [item["gpus"] for item in machines.values()] == ["-", "2", "-"]


def test_a_port_is_open_to_those_who_call_it_and_nobody_else(gymctl: Gymctl, files: tuple[str, str]) -> None:
    machines = planned(gymctl, *files)
    openings = {
        (address, item["server"], item["port"]): set(item["callers"])
        for address, machine in machines.items()
        for item in machine["openings"]
    }
    assert openings == {
        ("192.168.1.100", "head", 11000): {"192.168.1.101", "192.168.1.102"},
        ("192.168.1.100", "tools", 8080): {"192.168.1.102"},
        ("192.168.1.101", "policy_model", 8000): {"192.168.1.100", "192.168.1.102"},
        ("192.168.1.102", "far_agent", 8081): {"192.168.1.100"},
    }


def test_the_rules_name_each_port_once_per_caller(gymctl: Gymctl, files: tuple[str, str]) -> None:
    result = gymctl("plan-nodes", *files, "--firewall", "ufw")
    assert "ufw allow proto tcp from 192.168.1.102 to any port 8080 comment 'gymctl: tools'" in result.out
    assert result.out.count("ufw allow") == 6
    result = gymctl("plan-nodes", *files, "--firewall", "nftables")
    assert "ip saddr { 192.168.1.100, 192.168.1.102 } tcp dport 8000 accept" in result.out
    assert result.out.count(" drop") == 4


def test_one_machine_needs_nothing_open(gymctl: Gymctl, folder: Path) -> None:
    text = "\n".join(COORDINATOR.splitlines()[1:]) + "\n" + WORKER
    for address in ("192.168.1.100", "192.168.1.101", "192.168.1.102"):
        text = text.replace(f"host: {address}", "host: 127.0.0.1")
    (folder / "all.yaml").write_text(text)
    machines = planned(gymctl, "all.yaml")
    assert [(item["role"], item["openings"]) for item in machines.values()] == [("alone", [])]
    assert "no open ports needed" in gymctl("plan-nodes", "all.yaml", "--firewall", "ufw").out


@pytest.mark.parametrize(
    ("edge", "nftables", "ufw"),
    [
        (
            "address: 0.0.0.0, clients: [10.0.0.0/8, 192.0.2.7]",
            "ip saddr { 10.0.0.0/8, 192.0.2.7/32 } tcp dport 9443 accept",
            "ufw allow proto tcp from 10.0.0.0/8 to any port 9443 comment 'gymctl: gymctl-edge'",
        ),
        (
            "address: 192.0.2.1",
            "ip saddr { 0.0.0.0/0 } tcp dport 9443 accept",
            "ufw allow proto tcp from 0.0.0.0/0 to any port 9443 comment 'gymctl: gymctl-edge'",
        ),
        ("servers: [policy_model]", "no open ports needed", "no open ports needed"),
    ],
)
def test_the_port_of_the_edge_is_open_to_its_clients(
    gymctl: Gymctl, folder: Path, edge: str, nftables: str, ufw: str
) -> None:
    (folder / "edge.yaml").write_text(f"{EDGE}edge: {{port: 9443, {edge}}}\n")
    for firewall, expected in (("nftables", nftables), ("ufw", ufw)):
        assert expected in gymctl("plan-nodes", "edge.yaml", "--firewall", firewall).out


@pytest.mark.parametrize("head", ["head_server: {port: 11000}", "head_server: {host: 127.0.0.1}"])
@pytest.mark.parametrize("options", [["ufw"], ["nftables"], ["nftables", "--json"]])
def test_rules_need_an_address_of_the_head(
    gymctl: Gymctl, files: tuple[str, str], head: str, options: list[str]
) -> None:
    coordinator = Path(files[0])
    coordinator.write_text(f"{head}\n" + "\n".join(COORDINATOR.splitlines()[1:]).replace("192.168.1.100", "127.0.0.1"))
    result = gymctl("plan-nodes", *files, "--firewall", *options)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "error: rules for workers need the address of the head's machine; "
        "set head_server.host to the address that workers use\n"
    )
    assert gymctl("plan-nodes", *files).code == 0


def test_ufw_takes_no_names(gymctl: Gymctl, files: tuple[str, str]) -> None:
    workers = Path(files[1])
    workers.write_text(WORKER.replace("192.168.1.102", "worker-2"))
    result = gymctl("plan-nodes", *files, "--firewall", "ufw")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ufw needs addresses, but worker-2 is a host name; use its address, or")
    assert "worker-2 } tcp dport 11000 accept" in gymctl("plan-nodes", *files, "--firewall", "nftables").out


def test_wrong_inputs(gymctl: Gymctl, files: tuple[str, str]) -> None:
    result = gymctl("plan-nodes", *files, "--firewall", "iptables")
    assert result.code == 2
    assert result.err.startswith(
        "error: invalid value for '--firewall': 'iptables' is not one of 'ufw', 'nftables'; see"
    )
    result = gymctl("plan-nodes", "coordinator.yaml")
    assert result.code == 2 and "policy_model" in result.err and "Traceback" not in result.err
