"""A server with a list of hosts in a Swarm: it reaches these hosts, and nothing else outside of its stack."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from swarm_folder import BASE, TOOL, SwarmFolder
from swarm_lab import Lab, docker
from test_egress_docker import CALLS
from test_networks_docker import WAYS_OUT

pytestmark = [pytest.mark.docker, pytest.mark.lab]

PORT = 18080
STACK = f"""\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/{TOOL}/configs/{TOOL}.yaml
{TOOL}: {{resources_servers: {{{TOOL}: {{egress: ["host.docker.internal:{PORT}"]}}}}}}
"""
SERVE = "mkdir /tmp/www && echo outside > /tmp/www/index.html && cd /tmp/www && exec python -m http.server"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One node, which can build."""
    made = Lab(f"gymctl-test-{os.getpid()}", 1, shared=tmp_path_factory.mktemp("swarm"))
    try:
        made.up()
        file = made.shared / "base.tar"
        docker("save", "--output", str(file), BASE)
        made.on(made.names[0], "load", "--quiet", "--input", str(file), timeout=300)
        file.unlink()
        yield made
    finally:
        made.down()


def python_in(lab: Lab, service: str, program: str, argument: list[Any]) -> Any:
    """What a program prints, as JSON, in the container of a service."""
    node = lab.names[0]
    label = f"label=com.docker.swarm.service.name={service}"
    container = lab.on(node, "ps", "--quiet", "--filter", label).split()[0]
    return json.loads(lab.on(node, "exec", container, "python3", "-c", program, json.dumps(argument), timeout=180))


def test_a_listed_host_is_reached_and_nothing_else(lab: Lab) -> None:
    path = lab.shared / "lists"
    path.mkdir()
    (path / "stack.yaml").write_text(STACK)
    folder = SwarmFolder(lab, path)
    folder.up("stack.yaml")
    server = f"{path.name}_{TOOL}"
    image = lab.on(lab.names[0], "service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}", server)
    for port in (PORT, PORT + 1):
        published = ["--publish", f"{port}:8000", "--name", f"outside-{port}"]
        lab.on(lab.names[0], "run", "--detach", *published, image.strip(), "sh", "-c", SERVE)
    ways = [(way, "host.docker.internal", port) for port in (PORT, PORT + 1) for way in ("call", "tunnel")]
    called, tunnelled, refused, refused_tunnel = python_in(lab, server, CALLS, ways)
    assert called == tunnelled == [200, "outside\n"]
    message = f"{TOOL} may not call host.docker.internal:{PORT + 1}: add host.docker.internal:{PORT + 1} to 'egress'"
    assert refused[0] == 403 and message in refused[1]
    assert message in refused_tunnel[1]
    assert python_in(lab, server, WAYS_OUT, [[], PORT]) == []
    folder.gymctl("down")
