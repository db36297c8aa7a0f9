"""A server with a list of hosts reaches these hosts, and nothing else outside of its stack."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from free_ports import free_port
from small_stack import Services, SmallStack
from test_networks_docker import WAYS_OUT, python_in, targets_of

from gymctl.engines.docker.daemon import connect
from gymctl.engines.runner import run

pytestmark = pytest.mark.docker

SERVER = "example_single_tool_call"
PROXY = f"{SERVER}-egress"
UNLISTED = "unlisted.test"
TO_METADATA = "metadata.test"
TO_STACK = "stack.test"

# What a call gets: the status and the body of an answer, or the words of a failure. A tunnel carries plain HTTP here:
# what is in it is nothing to the proxy.
CALLS = """\
import http.client, json, os, sys, urllib.error, urllib.request

def call(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]
    except OSError as error:
        return [0, str(error)]

def tunnel(host, port):
    proxy = os.environ["https_proxy"].removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(proxy[0], int(proxy[1]), timeout=20)
    connection.set_tunnel(host, port)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return [answer.status, answer.read().decode()]
    except OSError as error:
        return [0, str(error)]
    finally:
        connection.close()

print(json.dumps([tunnel(host, port) if way == "tunnel" else call(f"http://{host}:{port}/")
                  for way, host, port in json.loads(sys.argv[1])]))
"""


@dataclass(frozen=True)
class Outside:
    """A web server in a container of another network."""

    container: str
    port: int
    """On every address of this machine."""
    address: str
    """Its own, on its network."""


@pytest.fixture
def outside(image: str) -> Iterator[Outside]:
    name = f"gymctl-test-outside-{os.getpid()}"
    port = free_port()
    command = [
        "sh",
        "-c",
        "mkdir /tmp/www && echo outside > /tmp/www/index.html && cd /tmp/www && python -m http.server",
    ]
    try:
        run(["docker", "network", "create", name])
        run(
            [
                "docker",
                "run",
                "--detach",
                "--name",
                name,
                "--network",
                name,
                "--publish",
                f"{port}:8000",
                image,
                *command,
            ]
        )
        until_answers("127.0.0.1", port)
        inspected = connect("").api.inspect_container(name)
        yield Outside(name, port, inspected["NetworkSettings"]["Networks"][name]["IPAddress"])
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)
        subprocess.run(["docker", "network", "rm", name], check=False, capture_output=True)


def until_answers(host: str, port: int) -> None:
    """Wait until a port is open."""
    end = time.monotonic() + 60
    while True:
        with socket.socket() as attempt:
            if attempt.connect_ex((host, port)) == 0:
                return
        assert time.monotonic() < end, f"nothing listens on {host}:{port}"
        time.sleep(0.1)


def start(stack: SmallStack, hosts: list[str], own: str = SERVER) -> None:
    """Start the stack with hosts that a server may reach; the proxy knows some further names."""
    document = yaml.safe_load((stack.directory / "stack.yaml").read_text())
    document[SERVER] = {"resources_servers": {SERVER: {"egress": hosts}}}
    (stack.directory / "stack.yaml").write_text(yaml.safe_dump(document))

    def with_names(services: Services) -> None:
        services[f"{own}-egress"].setdefault("extra_hosts", []).extend(
            ["allowed.test:host-gateway", f"{UNLISTED}:host-gateway", f"{TO_METADATA}:169.254.169.254"]
        )

    stack.up(with_names)


def calls(stack: SmallStack, *wanted: tuple[str, str, int], service: str = SERVER) -> list[Any]:
    answers: list[Any] = python_in(stack.name, service, CALLS, [list(item) for item in wanted])
    return answers


def refusal(host: str, port: int) -> str:
    return f"{SERVER} may not call {host}:{port}: add {host}:{port} to 'egress' of {SERVER}"


def proxy_log(stack: SmallStack) -> str:
    return run(["docker", "logs", f"{stack.name}-{PROXY}-1"]).stderr


def test_a_listed_host_is_reached_and_nothing_else(stack: SmallStack, outside: Outside) -> None:
    start(
        stack, [f"allowed.test:{outside.port}", f"*.below.test:{outside.port}", f"host.docker.internal:{outside.port}"]
    )
    ways = ("call", "tunnel")
    for host in ("allowed.test", "host.docker.internal"):
        answers = calls(stack, *((way, host, outside.port) for way in ways))
        assert answers == [[200, "outside\n"]] * 2

    gateway = python_in(
        stack.name, PROXY, "import json, socket; print(json.dumps(socket.gethostbyname('allowed.test')))", []
    )
    for host, port in (
        (UNLISTED, outside.port),
        ("allowed.test", outside.port + 1),
        (gateway, outside.port),
        (outside.address, 8000),
        ("169.254.169.254", 80),
    ):
        called, tunnelled = calls(stack, *((way, host, port) for way in ways))
        assert called == [403, f"{refusal(host, port)}\n"]
        assert tunnelled == [0, f"Tunnel connection failed: 403 {refusal(host, port)}"]
        lines = [line for line in proxy_log(stack).splitlines() if refusal(host, port) in line]
        assert len(lines) == 2, "one line for each refused call"


def test_some_addresses_are_not_reached_under_a_listed_name(stack: SmallStack) -> None:
    hosts = [TO_METADATA, "localhost.below.test", "head:11000", f"{PROXY}:3128", "policy_model:8000", UNLISTED]
    start(stack, hosts)
    [metadata] = calls(stack, ("tunnel", TO_METADATA, 443))
    assert "its address 169.254.169.254 is a cloud's metadata address, which 'egress' never permits" in metadata[1]
    [itself] = calls(stack, ("tunnel", PROXY, 3128))
    assert "is on one of the stack's own networks, which 'egress' never permits" in itself[1]
    for host, port in (("head", 11000), ("policy_model", 8000)):  # the proxy is on no network with them
        [answer] = calls(stack, ("tunnel", host, port))
        assert answer[1].startswith("Tunnel connection failed: 502") and "does not resolve" in answer[1]


def test_there_is_no_way_around_the_proxy(stack: SmallStack, outside: Outside) -> None:
    start(stack, [f"allowed.test:{outside.port}"])
    networks = connect("").api.networks(filters={"label": f"com.docker.compose.project={stack.name}"})
    gateways = [
        config["Gateway"] for network in networks for config in network["IPAM"]["Config"] if "Gateway" in config
    ]
    assert python_in(stack.name, SERVER, WAYS_OUT, [gateways, outside.port]) == []
    ways = python_in(stack.name, PROXY, WAYS_OUT, [gateways, outside.port])
    assert any(way.startswith("host at") for way in ways), "the test itself finds a way out"


def test_other_servers_do_not_reach_the_proxy(stack: SmallStack, outside: Outside) -> None:
    start(stack, [f"allowed.test:{outside.port}"])
    targets = targets_of(stack.name)
    addresses = [*targets[PROXY].addresses]
    program = (
        "import json, socket, sys\n"
        "def is_open(address):\n"
        "    try:\n"
        "        with socket.create_connection((address, 3128), timeout=1.5) as s:\n"
        "            s.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n')\n"
        "            return b'this is a proxy' in s.recv(100)\n"
        "    except OSError:\n"
        "        return False\n"
        "print(json.dumps([is_open(address) for address in json.loads(sys.argv[1])]))\n"
    )
    for service in targets.keys() - {SERVER, PROXY}:
        assert not any(python_in(stack.name, service, program, addresses)), service
    assert any(python_in(stack.name, SERVER, program, addresses)), "its own server reaches it"
