"""A stack of one session environment that is updated while clients call its servers and never try again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command_line import Folder

from gymctl import assets

ENVIRONMENT = "example_session_state_mgmt"
TOOLS, AGENT, MODEL = f"{ENVIRONMENT}_resources_server", f"{ENVIRONMENT}_simple_agent", "policy_model"
ROW = json.loads(
    (assets.folder("services") / "resources_servers" / ENVIRONMENT / "data" / "example.jsonl")
    .read_text()
    .splitlines()[0]
)
STACK = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/{environment}/configs/{environment}.yaml
"""
CLIENT = Path(__file__).with_name("steady_client.py").read_text()


def write(folder: Folder, version: str, replicas: int = 1, edge_port: int = 0) -> None:
    """The configuration; another version makes every server another one, and the head. 0: it has no edge."""
    own = {"environment": {"VERSION": version}, "replicas": replicas}
    servers: dict[str, dict[str, Any]] = {name: dict(own) for name in (MODEL, TOOLS, AGENT)}
    servers[AGENT]["responses_api_agents"] = {"simple_agent": {"max_steps": 10 + int(version)}}  # the head shows it
    text = STACK.format(environment=ENVIRONMENT)
    if edge_port:
        text += f"edge: {{port: {edge_port}, servers: [servers], rate_limit: 100000}}\n"
    (folder.path / "stack.yaml").write_text(text + "".join(f"{key}: {json.dumps(servers[key])}\n" for key in servers))


def up(folder: Folder, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = folder.up("stack.yaml", "--no-probe", "--drain", 60, *arguments)
    assert done.returncode == code, done.stderr
    return done


@contextmanager
def steady_calls(
    command: Sequence[str], targets: list[dict[str, Any]], rate: float, ca_file: str = ""
) -> Iterator[dict[str, Any]]:
    """Call the targets while the block runs; afterwards the mapping has calls and failures by URL."""
    results: dict[str, Any] = {}
    argv = [*command, "-c", CLIENT, str(rate), json.dumps(targets), ca_file]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == b"started\n"
        yield results
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    results.update(json.loads(output))


def inside(folder: Folder) -> list[str]:
    """Python in a container on the networks between the stack's servers."""
    state = json.loads((folder.path / ".gymctl" / "stack.json").read_text())
    label = f"label=com.docker.compose.project={folder.name}"
    names = folder.docker("network", "ls", "--format", "{{.Name}}", "--filter", label).split()
    networks = [part for name in names if not name.endswith("egress") for part in ("--network", name)]
    return ["docker", "run", "--rm", "-i", *networks, "--entrypoint", "python", state["image"]]


def targets_inside(folder: Folder) -> list[dict[str, Any]]:
    state = json.loads((folder.path / ".gymctl" / "stack.json").read_text())
    addresses = {server["name"]: server["address"] for server in state["servers"]}
    question = ROW["responses_create_params"]
    return [
        {"url": f"{addresses[MODEL]}/v1/responses", "body": question},
        {"url": f"{addresses[TOOLS]}/"},
        {"url": f"{addresses[AGENT]}/run", "body": ROW},
        {"url": f"http://head:{folder.port}/server_instances"},
    ]


def targets_outside(folder: Folder, edge_port: int) -> list[dict[str, Any]]:
    """The same servers and the head, as clients of the edge call them."""
    token = (folder.path / ".gymctl" / "edge-token").read_text().strip()
    url = f"https://127.0.0.1:{edge_port}"
    targets: list[dict[str, Any]] = [
        {"url": f"{url}/servers/{MODEL}/v1/responses", "body": ROW["responses_create_params"]},
        {"url": f"{url}/servers/{TOOLS}/"},
        {"url": f"{url}/servers/{AGENT}/run", "body": ROW},
        {"url": f"{url}/server_instances"},
    ]
    return [{**target, "headers": {"Authorization": f"Bearer {token}"}} for target in targets]


def containers(folder: Folder) -> dict[str, str]:
    """Ids of the containers of the stack by name."""
    form = "{{.Names}} {{.ID}}"
    lines = folder.docker("ps", "-a", "--filter", f"label=com.docker.compose.project={folder.name}", "--format", form)
    return dict(line.split() for line in lines.splitlines())


def lost(results: dict[str, Any]) -> dict[str, list[str]]:
    assert all(result["calls"] > 10 for result in results.values())
    return {url: result["failures"] for url, result in results.items() if result["failures"]}
