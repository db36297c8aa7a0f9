"""Which machines a head knows of, as time passes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gymctl.server.calls.registration import EXPIRES_S, FORGET_S, NameTakenError, RegisteredServer, Registry


def a_server(name: str, url: str = "http://10.0.0.2:8000") -> RegisteredServer:
    return RegisteredServer.model_validate(
        {"name": name, "kind": "responses_api_models", "implementation": "openai_model", "url": url}
    )


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> Registry:
    return Registry(["own_agent"], clock)


def states(registry: Registry) -> dict[str, str]:
    return {record["node"]: record["state"] for record in registry.records()}


def test_a_machine_that_keeps_saying_so_is_there(registry: Registry, clock: Clock) -> None:
    assert registry.register("gpu1", [a_server("policy")]) is True
    for _ in range(5):
        clock.now += EXPIRES_S - 1
        assert registry.register("gpu1", [a_server("policy")]) is False
    assert states(registry) == {"gpu1": "there"}
    assert registry.records()[0]["since_seconds"] == 5 * (EXPIRES_S - 1)


def test_a_silent_machine_is_gone_then_forgotten_and_new_when_it_is_back(registry: Registry, clock: Clock) -> None:
    registry.register("gpu1", [a_server("policy")])
    clock.now += EXPIRES_S + 0.1
    assert states(registry) == {"gpu1": "gone"}
    assert registry.register("gpu1", [a_server("policy")]) is True
    clock.now += FORGET_S + 1
    assert states(registry) == {}


def test_one_that_leaves_is_off_the_list_at_once(registry: Registry) -> None:
    registry.register("gpu1", [a_server("policy")])
    assert registry.leave("gpu1") and not registry.leave("gpu1")
    assert registry.nodes == ()


def test_a_name_belongs_to_one_machine_while_that_is_there(registry: Registry, clock: Clock) -> None:
    registry.register("gpu1", [a_server("policy")])
    with pytest.raises(NameTakenError, match="policy is already registered by gpu1"):
        registry.register("gpu2", [a_server("policy")])
    with pytest.raises(NameTakenError, match="own_agent is already a server of the head's stack"):
        registry.register("gpu2", [a_server("own_agent")])
    clock.now += EXPIRES_S + 0.1
    registry.register("gpu2", [a_server("policy", "http://10.0.0.3:8000")])
    assert [(server.url, node.name) for server, node in registry.servers()] == [("http://10.0.0.3:8000", "gpu2")]


WRONG = ["", "10.0.0.2:8000", "http://10.0.0.2", "ftp://10.0.0.2:1", "http://a b:1"]
WRONG += ["http://fd00::1:8081", "http://10.0.0.2:99999", "http://10.0.0.2:0", "http://:80", "http://a?b:80"]


@pytest.mark.parametrize("url", WRONG)
def test_an_address_that_nobody_can_dial_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        a_server("policy", url)


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert a_server("policy", "http://[fd00::1]:8081").url == "http://[fd00::1]:8081"
