"""Clients of NeMo Gym, unmodified, call the exposed agents of a stack of containers: from the host and a container."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import EXAMPLE, Folder

from gymctl import __version__

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
from upstream_client import CLIENT, client_rewards, interpreter

pytestmark = pytest.mark.docker

REWARDS = [1.0] * 8 + [0.0] * 2
AGENT = "example_multi_step_simple_agent"
TOOLS = "example_multi_step_resources_server"
CALL = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
connection.request("GET", "/", headers=dict(pair.split("=") for pair in sys.argv[3:]))
reply = connection.getresponse()
print(reply.status, reply.read().decode())
"""


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port)
    yield made
    made.gymctl("down")  # a local stack has no volumes to remove
    made.clean()


@pytest.fixture
def network(folder: Folder) -> Iterator[tuple[str, str]]:
    """A Docker network of another stack, and the machine's address on it."""
    name = f"{folder.name}-trainer"
    folder.docker("network", "create", name)
    yield name, folder.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", name).strip()
    folder.docker("network", "rm", name)


def up(folder: Folder, *options: str) -> str:
    """Start the quickstart stack; what it notes."""
    started = folder.up(EXAMPLE, *options)
    assert started.returncode == 0, started.stderr
    return started.stderr


def addresses(host: str, port: int) -> dict[str, tuple[str, int]]:
    """Where the servers are, as the head tells a client."""
    with urllib.request.urlopen(f"http://{host}:{port}/server_instances") as reply:
        return {item["process_name"]: (item["host"], item["port"]) for item in json.load(reply)}


def call(host: str, port: int, *headers: str) -> tuple[int, str]:
    """Status and body of a call from this machine."""
    request = urllib.request.Request(f"http://{host}:{port}/", headers=dict(pair.split("=") for pair in headers))
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return int(reply.status), reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def call_from(folder: Folder, network: str, host: str, port: int) -> str:
    """Status and body of a call from a container on another network."""
    image = f"gymctl-server:{__version__}"
    command = ["run", "--rm", "--network", network, "--entrypoint", "python", image, "-c", CALL, host, str(port)]
    return folder.docker(*command)


def test_exposed_agents_answer_on_loopback_and_nothing_else_does(folder: Folder) -> None:
    notes = up(folder, "--expose", "agents")
    seen = addresses("127.0.0.1", folder.port)
    host, port = seen[AGENT]
    assert f"note: {AGENT} is exposed at http://127.0.0.1:{port}" in notes
    assert call(host, port) == (200, '{"status":"ok"}')
    assert seen[TOOLS][0] == TOOLS  # within the stack only
    assert call(host, port, "host=evil.example.org")[0] == 421
    assert call(host, port, "origin=http://evil.example.org")[0] == 403
    inside = json.loads(folder.gymctl("status", "--json").stdout)
    assert all(server["health"] == "healthy" for server in inside), inside


def test_a_container_of_another_network_needs_to_be_on_the_list(folder: Folder, network: tuple[str, str]) -> None:
    name, gateway = network
    options = ["--publish", "0.0.0.0", "--expose", f"{AGENT},{TOOLS}", "--expose-to"]
    up(folder, *options, "203.0.113.0/24")
    _, port = addresses("127.0.0.1", folder.port)[AGENT]
    status, detail = call_from(folder, name, gateway, port).split(" ", 1)
    assert (status, "it is not in --expose-to" in detail) == ("403", True)
    up(folder, *options, "203.0.113.0/24,172.16.0.0/12,192.168.0.0/16,10.0.0.0/8")
    assert call_from(folder, name, gateway, port).startswith("200")


def test_a_local_stack_checks_its_clients_itself(folder: Folder, network: tuple[str, str]) -> None:
    name, gateway = network
    subnet = folder.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", name).strip()
    options = ["--engine", "local", "+head_server.host=0.0.0.0", "--expose", AGENT, "--expose-to"]
    up(folder, *options, "203.0.113.0/24")
    host, port = addresses(gateway, folder.port)[AGENT]
    assert host == gateway
    assert call("127.0.0.1", port)[0] == 200  # this machine itself
    status, detail = call_from(folder, name, gateway, port).split(" ", 1)
    assert (status, "is not among the clients in --expose-to" in detail) == ("403", True)
    up(folder, *options, f"203.0.113.0/24,{subnet}")
    _, port = addresses(gateway, folder.port)[AGENT]
    assert call_from(folder, name, gateway, port).startswith("200")


@pytest.mark.upstream
@pytest.mark.parametrize("release", ["0.7.0", "0.4.0"])
def test_clients_collect_from_the_host_and_from_another_network(
    folder: Folder, network: tuple[str, str], release: str
) -> None:
    name, gateway = network
    python = interpreter(release)
    private = ["172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8"]
    up(folder, "--publish", "0.0.0.0", "--expose", "agents", "--expose-to", ",".join(private))
    rows = EXAMPLE / "rows.jsonl"
    assert client_rewards(release, gateway, folder.port, rows) == REWARDS
    folders = [python.parents[1], python.resolve().parents[1], rows.parent]
    mounts = [part for path in folders for part in ("--volume", f"{path}:{path}:ro")]
    client = [str(python), "-c", CLIENT, gateway, str(folder.port), str(rows)]
    image = f"gymctl-server:{__version__}"
    run = ["run", "--rm", "--user", "0", "--network", name, *mounts, "--entrypoint"]
    printed = folder.docker(*run, client[0], image, *client[1:])
    assert json.loads(printed.splitlines()[-1]) == REWARDS
