"""Addresses of this machine wherever they are in a slice: what is rerouted, and what a container must find."""

from __future__ import annotations

import pytest
from plan_strategies import MODEL, RESOURCES, config, server

from gymctl.stack import StackOptions, plan_stack
from gymctl.stack.slices.host_gateway import called_hosts, extra_hosts, reroute, reroute_address
from gymctl.stack.slices.interpolation import Piece

GATEWAY = "host.docker.internal"


def rerouted(text: str, key: str = "value") -> str | None:
    changed = reroute((Piece(text),), GATEWAY, key)
    return None if changed is None else "".join(piece.text for piece in changed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://localhost:5000/retrieve", "http://host.docker.internal:5000/retrieve"),
        ("ws://127.0.0.1:9/x?y=1#z", "ws://host.docker.internal:9/x?y=1#z"),
        ("redis://:pw@localhost/0", "redis://:pw@host.docker.internal/0"),
        ("jdbc:postgresql://localhost:5432/db", "jdbc:postgresql://host.docker.internal:5432/db"),
        ("http://[::1]:80", "http://host.docker.internal:80"),
        ("http://[0:0:0:0:0:0:0:1]:80", "http://host.docker.internal:80"),
        ("http://[::ffff:127.0.0.1]:80", "http://host.docker.internal:80"),
        ("http://localhost.localdomain/", "http://host.docker.internal/"),
        ("http://api.localhost:8000", "http://host.docker.internal:8000"),
        ("http://ip6-localhost:8000", "http://host.docker.internal:8000"),
        ("localhost:6379", "host.docker.internal:6379"),
        ("http://localhost:1,http://127.0.0.1:2", "http://host.docker.internal:1,http://host.docker.internal:2"),
        ("a:1, localhost:2;localhost:3", "a:1, host.docker.internal:2;host.docker.internal:3"),
    ],
)
def test_an_address_under_any_key(text: str, expected: str) -> None:
    assert rerouted(text) == expected


@pytest.mark.parametrize(
    "key",
    ["db_host", "redis_hostname", "url", "hosts", "api_endpoint", "mcp_server", "address", "domain", "sandbox_ip"],
)
def test_a_bare_name_under_the_key_of_a_host(key: str) -> None:
    assert rerouted("localhost", key) == GATEWAY
    assert rerouted("localhost") is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("http://localhost.example/v1", "url"),
        ("http://gpu/localhost", "url"),
        ("file://localhost/etc", "url"),
        ("unix:///run/localhost", "url"),
        ("localhost is where the heart is", "url"),
        ("Open http://localhost:8000 and report the title.", "prompt"),
        ("http://localhost:3000", "cors_origins"),
        ("localhost:3000", "allowed_hosts"),
        ("127.0.0.1:9", "bind_address"),
        ("127.0.0.10.example:80", "url"),
        ("mylocalhost:80", "url"),
    ],
)
def test_what_is_not_an_address_to_call_stays(text: str, key: str) -> None:
    assert rerouted(text, key) is None


def test_an_address_alone() -> None:
    assert reroute_address("ray://localhost:10001", GATEWAY) == "ray://host.docker.internal:10001"
    assert reroute_address("localhost", GATEWAY) == GATEWAY
    assert reroute_address("10.0.0.5:6379", GATEWAY) is None


def test_the_gateway_and_names_of_the_machine_get_an_address_where_they_are_called() -> None:
    texts = ["http://host.docker.internal:1/v1", "http://Box:2", "box2:3", "a box", "http://other/box"]
    assert extra_hosts(texts, ["box", "box2", "other2"]) == (
        "host.docker.internal:host-gateway",
        "box:host-gateway",
        "box2:host-gateway",
    )
    assert extra_hosts(["box", "http://a.test/box"], ["box"]) == ()


def test_every_server_that_names_the_host_can_reach_it() -> None:
    whole = config(
        server("m", MODEL, {"base_url": f"http://{GATEWAY}:1/v1"}),
        server("r", RESOURCES, {"tools": [{"db_host": GATEWAY}, {"api": "http://box:2"}]}),
        server("s", RESOURCES, {"sandbox": "mine"}),
        server("box", RESOURCES, {}),
        values={"mine": {"provider": {"url": "http://localhost:3"}}},
    )
    planned = plan_stack(whole, name="demo", options=StackOptions(version="1", machine_names=("box", "lab")))
    extra_hosts = {service.name: service.extra_hosts for service in planned.services}
    host = (f"{GATEWAY}:host-gateway",)
    assert extra_hosts == {"head": (), "m": host, "r": host, "s": host, "box": ()}, "box is a server of the stack"
    assert any("s: mine.provider.url" in note for note in planned.notes)


@pytest.mark.parametrize("key", ["domain", "proxy", "gateway"])
def test_a_word_under_a_key_that_need_not_name_a_host_is_not_called(key: str) -> None:
    assert list(called_hosts(key, "agent")) == []
    assert list(called_hosts(key, "http://agent:80")) == ["agent"]
