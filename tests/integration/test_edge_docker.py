"""The edge of a stack of containers, called as from another machine: TLS, token, routes, limit."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest
from command_line import EXAMPLE, Folder

pytestmark = pytest.mark.docker

AGENT = "example_multi_step_simple_agent"
TOOLS = "example_multi_step_resources_server"
LIMIT = 20


@pytest.fixture(scope="module")
def edge_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, edge_port: int) -> Iterator[Folder]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
    made = Folder(tmp_path_factory.mktemp("edge"), port)
    block = f"++edge={{port: {edge_port}, servers: [agents, {TOOLS}], rate_limit: {LIMIT}}}"
    started = made.up(EXAMPLE, block)
    assert started.returncode == 0, started.stderr
    assert f"https://127.0.0.1:{edge_port}/servers/{AGENT}" in started.stderr
    yield made
    made.gymctl("down")
    made.clean()


@pytest.fixture
def token(folder: Folder) -> str:
    return (folder.path / ".gymctl/edge-token").read_text().strip()


@pytest.fixture
def trusted(folder: Folder) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder.path / ".gymctl/edge-ca.pem")


@pytest.fixture
def client(edge_port: int, token: str, trusted: ssl.SSLContext) -> Iterator[httpx.Client]:
    """A client that waits where the edge asks it to."""
    headers = {"authorization": f"Bearer {token}"}
    transport = _Patient(verify=trusted)
    with httpx.Client(base_url=f"https://127.0.0.1:{edge_port}", headers=headers, transport=transport) as made:
        yield made


class _Patient(httpx.HTTPTransport):
    """Repeats a request that was one too many."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        while response.status_code == 429:
            time.sleep(int(response.headers["retry-after"]))
            response = super().handle_request(request)
        return response


def test_the_head_and_the_servers_answer(client: httpx.Client) -> None:
    instances = client.get("/server_instances").json()
    assert AGENT in {item["process_name"] for item in instances}
    for path in (f"/servers/{AGENT}", f"/servers/{AGENT}/", f"/servers/{TOOLS}/"):
        assert client.get(path).json() == {"status": "ok"}
    for path in ("/servers/policy_model/", "/servers/", f"/servers/{AGENT}x/"):
        assert client.get(path).status_code == 404


def test_a_rollout_runs_through_the_edge(client: httpx.Client) -> None:
    rows = [json.loads(line) for line in (EXAMPLE / "rows.jsonl").read_text().splitlines()]
    row = next(row for row in rows if row["agent_ref"]["name"] == AGENT)
    reply = client.post(f"/servers/{AGENT}/run", json=row, timeout=60)
    assert reply.status_code == 200, reply.text
    assert reply.json()["reward"] == 1.0


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Bearer", "Basic dXNlcjpwYXNz", "TOKEN"])
@pytest.mark.parametrize("path", ["/", f"/servers/{AGENT}/run", "/servers/nothing"])
def test_without_the_token_every_path_is_refused(
    edge_port: int, trusted: ssl.SSLContext, token: str, authorization: str | None, path: str
) -> None:
    headers = {"authorization": authorization.replace("TOKEN", token)} if authorization else {}
    with httpx.Client(transport=_Patient(verify=trusted)) as stranger:
        reply = stranger.get(f"https://127.0.0.1:{edge_port}{path}", headers=headers)
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert ".gymctl/edge-token" in reply.json()["detail"]


def test_curl_needs_the_ca(folder: Folder, edge_port: int, token: str) -> None:
    call = ["curl", "--silent", "--show-error", "--fail", "--retry", "5", "-H", f"Authorization: Bearer {token}"]
    url = f"https://localhost:{edge_port}/"
    trusting = [*call, "--cacert", str(folder.path / ".gymctl/edge-ca.pem"), url]
    assert json.loads(subprocess.run(trusting, capture_output=True, check=True).stdout) == {"status": "ok"}
    stranger = subprocess.run([*call, url], capture_output=True, text=True, check=False)
    assert stranger.returncode == 60, stranger.stderr  # the certificate cannot be verified


def test_plain_http_gets_no_reply(edge_port: int) -> None:
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        httpx.get(f"http://127.0.0.1:{edge_port}/")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_protocols_are_refused(edge_port: int, trusted: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    trusted.minimum_version = version
    trusted.maximum_version = version
    trusted.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        handshake(edge_port, trusted)


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"])
def test_ciphers_without_authenticated_encryption_are_refused(
    edge_port: int, trusted: ssl.SSLContext, cipher: str
) -> None:
    trusted.maximum_version = ssl.TLSVersion.TLSv1_2
    trusted.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        handshake(edge_port, trusted)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_protocols_are_accepted(edge_port: int, trusted: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    trusted.minimum_version = version
    trusted.maximum_version = version
    assert handshake(edge_port, trusted) == version.name.replace("_", ".")


def handshake(port: int, context: ssl.SSLContext) -> str | None:
    """The version of TLS that a connection gets."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        return secured.version()


def test_requests_above_the_limit_are_refused(edge_port: int, trusted: ssl.SSLContext) -> None:
    """All requests are sent at once, on one connection: the edge refuses them for their number before their token."""
    requests = b"GET / HTTP/1.1\r\nhost: edge\r\n\r\n" * (20 * LIMIT)
    with (
        socket.create_connection(("127.0.0.1", edge_port), timeout=60) as plain,
        trusted.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(requests + b"GET / HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n")
        replies = b"".join(iter(lambda: secured.recv(65536), b"")).decode()
    assert replies.count("HTTP/1.1 401") >= 1
    assert replies.count("HTTP/1.1 429") > LIMIT
    assert "retry-after: 1" in replies
    assert f"more than {LIMIT} requests a second" in replies


def test_the_token_is_nowhere_to_be_read(folder: Folder, token: str) -> None:
    container = folder.docker(
        "ps", "-q", "--filter", f"label=com.docker.compose.project={folder.name}", "--filter", "label=gymctl.kind=edge"
    ).strip()
    assert token not in folder.docker("inspect", container)
    assert token not in folder.docker("logs", container)
    assert token not in folder.docker("top", container)
    assert token not in (folder.path / "compose.yaml").read_text()
    for path in (folder.path / ".gymctl").glob("*.json"):
        assert token not in path.read_text()


def test_the_audit_knows_the_edge(folder: Folder) -> None:
    audit = json.loads(folder.gymctl("audit", "--json").stdout)
    rules = {finding["id"] for finding in audit["findings"]}
    assert rules.isdisjoint({"published-server", "published-without-token", "published-without-tls"}), rules
