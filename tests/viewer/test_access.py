"""Who may use the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from view_rows import write_run

from gymctl.errors import InputError
from gymctl.viewer import ViewOptions, create_app
from gymctl.viewer.access import Access
from gymctl.viewer.serving import choose_token, page_address

TOKEN = "the-token-of-this-test"
BASE = "http://127.0.0.1:8190"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    write_run(tmp_path / "rollouts.jsonl", seed=1, tasks=2)
    app = create_app([tmp_path], Access("127.0.0.1", TOKEN, ("gym.example",)), tmp_path)
    with TestClient(app, base_url=BASE, follow_redirects=False) as client:
        yield client


def get(client: TestClient, path: str = "/api/runs", **headers: str) -> int:
    authorization = {"authorization": f"Bearer {TOKEN}"}
    return client.get(
        path, headers={**authorization, **{k.replace("_", "-"): v for k, v in headers.items()}}
    ).status_code


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/runs", "/api/stack", "/api/runs/x/rollouts", "/nothing"])
def test_everything_needs_the_token(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get(path, headers={"cookie": "gymctl_view_8190=wrong"}).status_code == 401


def test_the_token_of_the_address_becomes_a_cookie_that_scripts_cannot_read(client: TestClient) -> None:
    answer = client.get(f"/?token={TOKEN}&x=1")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?x=1"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert client.get("/api/runs").status_code == 200


def test_a_wrong_token_in_the_address_sets_nothing(client: TestClient) -> None:
    answer = client.get("/?token=wrong")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8190", "localhost:8190", "LOCALHOST:1", "[::1]:9000", "gym.example", "10.0.0.7:8190", "localhost.:80"],
)
def test_hosts_that_are_this_server(client: TestClient, host: str) -> None:
    assert get(client, host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8190", "127.0.0.1.evil.example", "[::1", "", "a@b:c", "x.gym.example"]
)
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    assert get(client, host=host) == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost:8190", ""])
def test_pages_of_other_origins_are_refused(client: TestClient, origin: str) -> None:
    assert get(client, origin=origin) == 403


def test_its_own_page_and_links_from_elsewhere_are_not(client: TestClient) -> None:
    assert get(client, origin=BASE) == 200
    assert get(client, sec_fetch_site="same-origin") == 200
    assert get(client, "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200
    assert get(client, sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403
    assert get(client, sec_fetch_site="same-site", sec_fetch_mode="cors") == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_is_read_only(client: TestClient, method: str) -> None:
    assert client.request(method, "/api/runs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 405


@pytest.mark.parametrize("path", ["/", "/api/runs", "/static/style.css", "/nothing"])
def test_every_answer_has_the_security_headers(client: TestClient, path: str) -> None:
    for authorization in (f"Bearer {TOKEN}", "Bearer wrong"):
        headers = client.get(path, headers={"authorization": authorization}).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/vendor"]
)
def test_only_files_of_the_page_are_served(client: TestClient, path: str) -> None:
    assert get(client, path) == 404


def test_a_network_address_without_a_token_is_refused() -> None:
    with pytest.raises(InputError, match="--no-token with --host"):
        choose_token(ViewOptions(host="0.0.0.0", with_token=False))
    assert choose_token(ViewOptions(with_token=False)) == ""
    assert len(choose_token(ViewOptions(host="0.0.0.0"))) >= 32


@pytest.mark.parametrize("token", ["short", "an umlaut in it is not allowed: ä", "line\nbreak in the middle of it"])
def test_a_token_of_the_environment_is_checked(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYMCTL_VIEW_TOKEN", token)
    with pytest.raises(InputError, match="GYMCTL_VIEW_TOKEN"):
        choose_token(ViewOptions())


def test_addresses() -> None:
    assert page_address("127.0.0.1", 1, "") == "http://127.0.0.1:1/"
    assert page_address("::1", 1, "a b/c") == "http://[::1]:1/?token=a%20b%2Fc"
