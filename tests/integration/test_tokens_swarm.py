"""A stack with ``tokens: true`` on a real Swarm of one node: who gets in, and new tokens under load."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from swarm_folder import AGENT, TOOL, SwarmFolder, stack_images
from swarm_lab import Lab
from token_routes import ROUTES, check_routes, routes_argument

from gymctl.config.blocks.hop_tokens import HopTokens

pytestmark = [pytest.mark.docker, pytest.mark.lab]

MODEL = "policy_model"
SERVERS = {"head_server", MODEL, TOOL, AGENT}
STACK = f"""\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/{TOOL}/configs/{TOOL}.yaml
tokens: true
"""
CLIENT = Path(__file__).with_name("steady_client.py").read_text()
RATE = 12
ASK = """\
import http.client, sys
head = http.client.HTTPConnection("127.0.0.1", 11000, timeout=10)
head.request("GET", "/server_instances", headers={"x-gymctl-token": sys.argv[1]})
print(head.getresponse().status)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwarmFolder]:
    lab = Lab(f"gymctl-test-tokens-{os.getpid()}", 1, shared=tmp_path_factory.mktemp("swarm"))
    path = lab.shared / "guarded"
    path.mkdir()
    (path / "stack.yaml").write_text(STACK)
    try:
        lab.up(stack_images(path))
        made = SwarmFolder(lab, path)
        made.up("stack.yaml")
        yield made
        assert "swarm.yaml was changed" not in made.gymctl("down")
        assert "guarded" not in lab.on(lab.names[0], "secret", "ls", "--format", "{{.Name}}")
    finally:
        lab.down()


def tokens(folder: SwarmFolder) -> dict[str, str]:
    calls = HopTokens.parse((folder.path / ".gymctl/secrets/gymctl-tokens").read_text()).calls
    return {name: values[0] for name, values in calls.items()}


def on_node(folder: SwarmFolder, *arguments: str) -> str:
    return folder.lab.on(folder.lab.names[0], *arguments)


def task(folder: SwarmFolder, service: str) -> str:
    """The id of the container of a service."""
    label = f"label=com.docker.swarm.service.name=guarded_{service}"
    return on_node(folder, "ps", "--quiet", "--latest", "--filter", label, "--filter", "health=healthy")


def token_secrets(folder: SwarmFolder) -> dict[str, str]:
    """The name of the file with tokens that each service has, in the Swarm."""
    form = "{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}{{.SecretName}} {{end}}"
    secrets = {}
    for service in on_node(folder, "service", "ls", "--format", "{{.Name}}").split():
        names = on_node(folder, "service", "inspect", "--format", form, service).split()
        (secrets[service],) = [name for name in names if "gymctl-tokens" in name]
    return secrets


@contextmanager
def steady_calls(folder: SwarmFolder, targets: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Call the targets from a container on the stack's networks; afterwards the mapping has calls and failures."""
    state = json.loads((folder.path / ".gymctl/stack.json").read_text())
    label = "label=com.docker.stack.namespace=guarded"
    names = on_node(folder, "network", "ls", "--format", "{{.Name}}", "--filter", label).split()
    networks = [part for name in names if not name.endswith("egress") for part in ("--network", name)]
    file = folder.path / ".gymctl/secrets/gymctl-tokens"
    argv = ["docker", "run", "--rm", "-i", "--user", "0", *networks, "--volume", f"{file}:/tokens:ro"]
    argv += [
        "--entrypoint",
        "python",
        state["image"],
        "-c",
        CLIENT,
        str(RATE),
        json.dumps(list(targets)),
        "",
        "/tokens",
    ]
    results: dict[str, Any] = {}
    with subprocess.Popen(
        argv, env=folder.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == b"started\n"
        yield results
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    results.update(json.loads(output))


def targets(folder: SwarmFolder) -> list[dict[str, Any]]:
    state = json.loads((folder.path / ".gymctl/stack.json").read_text())
    addresses = {server["name"]: server["address"] for server in state["servers"]}
    row = json.loads(folder.rows([TOOL]).read_text().splitlines()[0])
    return [
        {"url": f"{addresses[MODEL]}/v1/responses", "body": row["responses_create_params"], "server": MODEL},
        {"url": f"{addresses[TOOL]}/openapi.json", "server": TOOL},
        {"url": f"{addresses[AGENT]}/run", "body": row, "server": AGENT},
        {"url": f"{addresses['head']}/server_instances", "server": "head_server"},
    ]


def test_every_route_but_health_checks_needs_a_token(folder: SwarmFolder) -> None:
    argument = routes_argument(tokens(folder))
    check_routes(on_node(folder, "exec", task(folder, "head"), "python", "-c", ROUTES, argument), SERVERS)


def test_100_rollouts_are_collected(folder: SwarmFolder) -> None:
    rows = folder.rows([TOOL])
    options = ["--num-repeats", 100 // len(rows.read_text().splitlines()), "--no-report"]
    folder.gymctl("collect", "-i", rows.name, "-o", "first.jsonl", *options)
    assert (folder.path / "first.jsonl").read_bytes().count(b"\n") == 100
    assert (folder.path / "first_failures.jsonl").read_text() == ""


def test_no_token_is_in_a_definition(folder: SwarmFolder) -> None:
    services = on_node(folder, "service", "ls", "--format", "{{.Name}}").split()
    secrets = on_node(folder, "secret", "ls", "--quiet").split()
    shown = {
        "services": on_node(folder, "service", "inspect", *services),
        "secrets": on_node(folder, "secret", "inspect", *secrets),
        "rendered": (folder.path / "swarm.yaml").read_text(),
    }
    assert [place for place, text in shown.items() if any(token in text for token in tokens(folder).values())] == []


def test_tokens_are_replaced_under_load_and_no_call_fails(folder: SwarmFolder) -> None:
    before = tokens(folder)
    secrets = token_secrets(folder)
    with steady_calls(folder, targets(folder)) as results:
        rotated = folder.gymctl("secrets", "rotate")
    assert "4 tokens replaced" in rotated
    assert all(result["calls"] > 50 for result in results.values()), results
    assert {url: result["failures"] for url, result in results.items() if result["failures"]} == {}
    after = tokens(folder)
    assert set(after) == set(before) and set(after.values()).isdisjoint(before.values())
    assert set(secrets.values()).isdisjoint(token_secrets(folder).values())
    assert folder.gymctl("secrets", "token", "head").strip() == after["head_server"]
    for values, status in ((before, "401"), (after, "200")):
        assert on_node(folder, "exec", task(folder, "head"), "python", "-c", ASK, values["head_server"]) == status


def test_a_collection_is_not_disturbed_and_an_update_keeps_the_tokens(folder: SwarmFolder) -> None:
    collection = folder.collecting(400)
    folder.gymctl("secrets", "rotate")
    assert folder.results(collection, 2000) == []
    values = tokens(folder)
    secrets = token_secrets(folder)
    folder.up("stack.yaml")
    assert tokens(folder) == values
    assert token_secrets(folder) == secrets
