"""The edge of a stack on a real Swarm of one node, called as from another machine: TLS, token, routes, networks."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from swarm_folder import AGENT, TOOL, SwarmFolder, stack_images
from swarm_lab import Lab

pytestmark = [pytest.mark.docker, pytest.mark.lab]

MODEL = "policy_model"
PORT = 8443
STACK = f"""\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/{TOOL}/configs/{TOOL}.yaml
tokens: true
"""
NO_PEER_CERTIFICATE, CLOSED = 60, {52, 56}  # of curl


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwarmFolder]:
    lab = Lab(f"gymctl-test-edge-{os.getpid()}", 1, shared=tmp_path_factory.mktemp("swarm"))
    path = lab.shared / "edge"
    path.mkdir()
    (path / "stack.yaml").write_text(STACK)
    try:
        lab.up(stack_images(path, "++edge={address: 0.0.0.0}"))
        made = SwarmFolder(lab, path)
        made.up("stack.yaml", edge_of(lab))
        yield made
        made.gymctl("down")
        assert "edge" not in lab.on(lab.names[0], "secret", "ls", "--format", "{{.Name}}")
    finally:
        lab.down()


def edge_of(lab: Lab) -> str:
    return f"++edge={{address: 0.0.0.0, port: {PORT}, names: [{lab.addresses[lab.names[0]]}]}}"


def call(folder: SwarmFolder, path: str, *options: str, scheme: str = "https") -> tuple[int, int, str]:
    """Call the edge from this machine; curl's exit code, the status, and the body."""
    url = f"{scheme}://{folder.lab.addresses[folder.lab.names[0]]}:{PORT}{path}"
    argv = ["curl", "--silent", "--max-time", "30", "--write-out", "\n%{http_code}", *options, url]
    done = subprocess.run(argv, cwd=folder.path, capture_output=True, text=True, check=False, timeout=60)
    body, _, status = done.stdout.rpartition("\n")
    return done.returncode, int(status), body


def trust() -> list[str]:
    return ["--cacert", ".gymctl/edge-ca.pem"]


def token(folder: SwarmFolder) -> list[str]:
    return ["--header", f"Authorization: Bearer {(folder.path / '.gymctl/edge-token').read_text().strip()}"]


def on_node(folder: SwarmFolder, *arguments: str) -> str:
    return folder.lab.on(folder.lab.names[0], *arguments)


def test_with_the_ca_and_the_token_it_leads_to_the_head_and_the_agents(folder: SwarmFolder) -> None:
    code, status, body = call(folder, "/server_instances", *trust(), *token(folder))
    assert (code, status) == (0, 200)
    assert AGENT in {item["process_name"] for item in json.loads(body)}
    row = json.dumps(json.loads(folder.rows([TOOL]).read_text().splitlines()[0]))
    content = ["--header", "content-type: application/json", "--data", row]
    code, status, body = call(folder, f"/servers/{AGENT}/run", *trust(), *token(folder), *content)
    assert (code, status) == (0, 200)
    assert json.loads(body)["reward"] == 1.0
    assert call(folder, f"/servers/{MODEL}/", *trust(), *token(folder))[:2] == (0, 404)


def test_without_the_ca_or_the_token_it_does_not(folder: SwarmFolder) -> None:
    assert call(folder, "/server_instances", *token(folder))[0] == NO_PEER_CERTIFICATE
    for path in ("/server_instances", "/", f"/servers/{AGENT}/", "/livez"):
        assert call(folder, path, *trust())[:2] == (0, 401)
        assert call(folder, path, *trust(), "--header", "Authorization: Bearer wrong")[:2] == (0, 401)
    assert call(folder, "/server_instances", *token(folder), scheme="http")[0] in CLOSED


def test_one_port_is_published_and_all_networks_are_encrypted(folder: SwarmFolder) -> None:
    services = json.loads(on_node(folder, "service", "inspect", *on_node(folder, "service", "ls", "-q").split()))
    published = {item["Spec"]["Name"]: item["Spec"]["EndpointSpec"].get("Ports") for item in services}
    ports = {name: [port["PublishedPort"] for port in ports] for name, ports in published.items() if ports}
    assert ports == {"edge_gymctl-edge": [PORT]}
    label = "label=com.docker.stack.namespace=edge"
    networks = json.loads(
        on_node(folder, "network", "inspect", *on_node(folder, "network", "ls", "-q", "--filter", label).split())
    )
    assert len(networks) > 1
    assert all("encrypted" in network["Options"] for network in networks)


def test_neither_the_token_nor_the_key_is_in_a_definition(folder: SwarmFolder) -> None:
    shown = on_node(folder, "service", "inspect", *on_node(folder, "service", "ls", "-q").split())
    shown += (folder.path / "swarm.yaml").read_text()
    assert token(folder)[1].split()[-1] not in shown
    assert "PRIVATE KEY" not in shown


def test_another_token_replaces_the_edge_alone(folder: SwarmFolder) -> None:
    def tasks() -> dict[str, set[str]]:
        names = on_node(folder, "service", "ls", "--format", "{{.Name}}").split()
        return {name: set(on_node(folder, "service", "ps", "--quiet", name).split()) for name in names}

    before = tasks()
    earlier = token(folder)
    (folder.path / ".gymctl/edge-token").unlink()
    folder.up("stack.yaml", edge_of(folder.lab))
    after = tasks()
    assert [name for name in before if before[name] != after[name]] == ["edge_gymctl-edge"]
    assert call(folder, "/server_instances", *trust(), *token(folder))[:2] == (0, 200)
    assert call(folder, "/server_instances", *trust(), *earlier)[:2] == (0, 401)


def test_clients_at_other_addresses_are_refused(folder: SwarmFolder) -> None:
    folder.up("stack.yaml", edge_of(folder.lab).replace("names:", "clients: [198.51.100.0/24], names:"))
    assert call(folder, "/server_instances", *trust(), *token(folder))[:2] == (0, 403)
    folder.up("stack.yaml", edge_of(folder.lab))
    assert call(folder, "/server_instances", *trust(), *token(folder))[:2] == (0, 200)


def test_rotated_tokens_are_those_that_the_edge_sends(folder: SwarmFolder) -> None:
    folder.gymctl("secrets", "rotate")
    for path in ("/server_instances", f"/servers/{AGENT}/openapi.json"):
        assert call(folder, path, *trust(), *token(folder))[:2] == (0, 200)


def test_a_running_stack_without_encryption_gets_no_edge(folder: SwarmFolder) -> None:
    folder.gymctl("down")
    folder.up("stack.yaml")
    refused = folder.up("stack.yaml", edge_of(folder.lab), code=1)
    assert "is not encrypted, as edge needs it to be" in refused
    assert all(server["ok"] for server in folder.status().values())
