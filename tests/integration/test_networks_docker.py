"""Who reaches whom in a running stack, and that an environment has no way out of it."""

from __future__ import annotations

import json
import shutil
import socket
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from command_line import Folder
from small_stack import SmallStack

from gymctl.config import ServerKind, load_config
from gymctl.engines.docker.containers import find_containers
from gymctl.engines.docker.daemon import connect
from gymctl.engines.runner import run

pytestmark = pytest.mark.docker

EXAMPLES = Path(__file__).parents[2] / "examples"

QUICKSTART = """\
config_paths: [responses_api_models/scripted_model/configs/scripted_model.yaml,
  resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml,
  resources_servers/example_multi_step/configs/example_multi_step.yaml]
head_server: {{host: 127.0.0.1, port: {port}}}
"""
JUDGED = """\
config_paths: [resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml]
policy_model: {{responses_api_models: {{openai_model: {{entrypoint: app.py, openai_model: x, openai_api_key: none,
  openai_base_url: "http://host.docker.internal:9/v1"}}}}}}
judge_model: {{responses_api_models: {{openai_model: {{entrypoint: app.py, openai_model: x, openai_api_key: none,
  openai_base_url: "http://host.docker.internal:9/v1"}}}}}}
maths: {{resources_servers: {{library_judge_math: {{entrypoint: app.py, domain: math, should_use_judge: true,
  judge_model_server: {{type: responses_api_models, name: judge_model}}}}}}}}
maths_agent: {{responses_api_agents: {{simple_agent: {{entrypoint: app.py,
  model_server: {{type: responses_api_models, name: policy_model}},
  resources_server: {{type: resources_servers, name: maths}}}}}}}}
head_server: {{host: 127.0.0.1, port: {port}}}
"""

# A machine's router may accept connections to any address: a server is reached if its own reply comes back. Ray's nodes
# speak HTTP/2, and greet with their settings, which differ from those of a router.
CONNECT = """\
import http.client, json, socket, sys

GREETING = b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

def reply(address, port, kind):
    if kind == "ray":
        return greeting(address, port)
    connection = http.client.HTTPConnection(address, port, timeout=1.5)
    try:
        connection.request("GET", "/nothing-is-here", headers={"Host": "localhost"})
        answer = connection.getresponse()
        return [answer.status, answer.read().decode()]
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()

def greeting(address, port):
    try:
        with socket.create_connection((address, port), timeout=1.5) as s:
            s.sendall(GREETING)
            with s.makefile("rb") as frames:
                head = frames.read(9)
                return list(head + frames.read(int.from_bytes(head[:3], "big")))
    except OSError:
        return None

print(json.dumps([(name, reply(address, port, kind)) for name, address, port, kind in json.loads(sys.argv[1])]))
"""

# Each writes the name of a way out that answers; every name is tried.
WAYS_OUT = """\
import json, os, socket, struct, sys

gateways, host_port = json.loads(sys.argv[1])
out = []

def attempt(name, call):
    try:
        call()
    except (OSError, ValueError):
        return
    out.append(name)

def tcp(address, port, family=socket.AF_INET):
    def call():
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.settimeout(1.5)
            s.connect((address, port))
    return call

def udp(address, port, payload=b"x", family=socket.AF_INET):
    def call():
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.settimeout(1.5)
            s.connect((address, port))
            s.send(payload)
            s.recv(1)
    return call

def icmp(kind):
    with socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP) as s:
        s.settimeout(1.5)
        s.sendto(b"\\x08\\0" + struct.pack(">HHH", 0xF7FE, 0, 1), ("1.1.1.1", 0))
        s.recv(1)

query = struct.pack(">6H", 7, 256, 1, 0, 0, 0) + b"\\7example\\3com\\0" + struct.pack(">2H", 1, 1)
attempt("tcp 1.1.1.1:443", tcp("1.1.1.1", 443))
attempt("tcp 8.8.8.8:53", tcp("8.8.8.8", 53))
attempt("tcp 93.184.215.14:80", tcp("93.184.215.14", 80))
attempt("udp dns 1.1.1.1", udp("1.1.1.1", 53, query))
attempt("udp dns 8.8.8.8", udp("8.8.8.8", 53, query))
attempt("udp ntp", udp("162.159.200.1", 123, b"\\x1b" + bytes(47)))
attempt("name example.com", lambda: socket.getaddrinfo("example.com", 443))
attempt("name example.org", lambda: socket.getaddrinfo("example.org", 443))
attempt("metadata tcp", tcp("169.254.169.254", 80))
attempt("metadata ecs", tcp("169.254.170.2", 80))
attempt("metadata alibaba", tcp("100.100.100.200", 80))
attempt("metadata name", lambda: socket.getaddrinfo("metadata.google.internal", 80))
attempt("ipv6 tcp", tcp("2606:4700:4700::1111", 443, socket.AF_INET6))
attempt("ipv6 metadata", tcp("fd00:ec2::254", 80, socket.AF_INET6))
attempt("host name", lambda: socket.getaddrinfo("host.docker.internal", 80))
for address in gateways:
    attempt(f"host at {address}", tcp(address, host_port))
attempt("default bridge", tcp("172.17.0.1", host_port))
attempt("private 10.0.0.1", tcp("10.0.0.1", 80))
attempt("private 192.168.0.1", tcp("192.168.0.1", 80))
attempt("icmp datagram", lambda: icmp(socket.SOCK_DGRAM))
attempt("icmp raw", lambda: icmp(socket.SOCK_RAW))
attempt("packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("docker socket", lambda: os.stat("/var/run/docker.sock"))

print(json.dumps(out))
"""


@pytest.fixture
def host_server() -> Iterator[int]:
    """The port of a server on every address of this machine."""
    with socket.create_server(("0.0.0.0", 0), backlog=64) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port, patience=500)
    yield made
    made.clean()


Pair = tuple[str, str]
"""A service that calls, and the one that it calls."""


@dataclass(frozen=True)
class Target:
    """A service as others call it."""

    kind: str
    port: int
    addresses: tuple[str, ...]
    """Its name, and the address of every container on every network."""


def python_in(name: str, service: str, program: str, argument: list[Any]) -> Any:
    """What a program prints, as JSON, in the first container of a service of the stack ``name``."""
    container = f"{name}-{service}-1"
    done = run(
        ["docker", "exec", container, "python3", "-c", textwrap.dedent(program), json.dumps(argument)], timeout=180
    )
    return json.loads(done.stdout)


def targets_of(name: str) -> dict[str, Target]:
    """The services of a running stack."""
    client = connect("")
    targets: dict[str, Target] = {}
    for item in find_containers(client, name):
        inspected = client.api.inspect_container(item.id)
        labels = inspected["Config"]["Labels"]
        own = [network["IPAddress"] for network in inspected["NetworkSettings"]["Networks"].values()]
        earlier = targets[item.service].addresses if item.service in targets else (item.service,)
        targets[item.service] = Target(labels["gymctl.kind"], int(labels["gymctl.port"]), (*earlier, *own))
    return targets


def reachable_pairs(name: str) -> set[Pair]:
    """Pairs of services of which the first reaches the second, tried from inside every service."""
    targets = targets_of(name)
    assert targets
    reached: set[Pair] = set()
    replies: dict[str, Any] = {}
    for service, target in targets.items():
        [(_, replies[service])] = python_in(
            name, service, CONNECT, [(service, target.addresses[-1], target.port, target.kind)]
        )
        assert replies[service], f"{service} does not answer itself"
    for source in targets:
        calls = [
            (service, address, target.port, target.kind)
            for service, target in targets.items()
            for address in target.addresses
            if service != source
        ]
        answers = python_in(name, source, CONNECT, calls)
        reached |= {(source, service) for service, answer in answers if answer == replies[service]}
    return reached


def both_ways(pairs: Iterable[Pair]) -> set[Pair]:
    return {*pairs, *((second, first) for first, second in pairs)}


def calls_of(directory: Path, *overrides: str) -> set[Pair]:
    """Who calls whom by the configuration, the head everyone, in both directions."""
    config = load_config(["stack.yaml", *overrides], cwd=directory, environ={})
    references = {(server.name, other.name) for server in config.servers.values() for other in server.references}
    return both_ways(references | {("head", name) for name in config.servers})


@pytest.mark.parametrize("settings", [QUICKSTART, JUDGED], ids=["quickstart", "judge"])
def test_containers_reach_those_that_they_call_and_no_others(stack: SmallStack, settings: str) -> None:
    (stack.directory / "stack.yaml").write_text(settings.format(port=stack.port))
    stack.up()
    names = {service.name for service in stack.plan().services}
    assert names == targets_of(stack.name).keys()
    assert reachable_pairs(stack.name) == calls_of(stack.directory)
    assert len(calls_of(stack.directory)) < len(names) * (len(names) - 1)


def test_the_nodes_of_ray_reach_each_other_and_their_users(folder: Folder) -> None:
    shutil.copytree(EXAMPLES / "ray-own", folder.path, dirs_exist_ok=True)
    up = folder.up("stack.yaml", "++ray.dashboard=false", "--timeout", 400)
    assert up.returncode == 0, up.stderr
    group = ("ray-head", "ray-worker", "library_judge_math")
    expected = calls_of(folder.path) | both_ways({*combinations(group, 2), *product(["head"], group)})
    assert reachable_pairs(folder.name) == expected


@pytest.mark.lab
def test_many_environments_do_not_reach_each_other(folder: Folder) -> None:
    shutil.copytree(EXAMPLES / "size-comprehensive", folder.path, dirs_exist_ok=True)
    keys = ["++google_api_key=none", "++google_cx=none"]
    up = folder.up("stack.yaml", *keys, "--timeout", 400)
    assert up.returncode == 0, up.stderr
    config = load_config(["stack.yaml", *keys], cwd=folder.path, environ={})
    reached = reachable_pairs(folder.name)
    assert calls_of(folder.path, *keys) <= reached
    shared = {server.name for server in config.servers.values() if server.kind is not ServerKind.RESOURCES}
    others = {(a, b) for a, b in reached - calls_of(folder.path, *keys) if not {a, b} <= shared}
    assert others == set(), "more than agents and model servers share the network of the models"


def test_an_environment_has_no_way_out(stack: SmallStack, host_server: int) -> None:
    stack.up()
    client = connect("")
    networks = client.api.networks(filters={"label": f"com.docker.compose.project={stack.name}"})
    gateways = [config["Gateway"] for network in networks for config in network["IPAM"]["Config"]]
    argument = [gateways, host_server]
    for service in ("example_single_tool_call", "example_single_tool_call_simple_agent", "policy_model"):
        assert python_in(stack.name, service, WAYS_OUT, argument) == []
    assert "host at" in str(python_in(stack.name, "head", WAYS_OUT, argument)), "the test itself finds a way out"


def test_a_server_with_egress_has_a_way_out(stack: SmallStack, host_server: int) -> None:
    text = (stack.directory / "stack.yaml").read_text()
    (stack.directory / "stack.yaml").write_text(
        text + "example_single_tool_call: {resources_servers: {example_single_tool_call: {egress: true}}}\n"
    )
    stack.up()
    networks = connect("").api.networks(filters={"label": f"com.docker.compose.project={stack.name}"})
    gateways = [config["Gateway"] for network in networks for config in network["IPAM"]["Config"]]
    ways = python_in(stack.name, "example_single_tool_call", WAYS_OUT, [gateways, host_server])
    assert any(way.startswith("host at") for way in ways)
    assert python_in(stack.name, "policy_model", WAYS_OUT, [gateways, host_server]) == []
