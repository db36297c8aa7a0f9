"""What may be scaled, and what is said of the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gymctl.engines.compose.scale import services_to_scale
from gymctl.engines.docker.containers import Container, server_status
from gymctl.engines.protocol import ServerStatus
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.state import StackState
from gymctl.errors import InputError

RESOURCES = "resources_servers"
STATE = StackState(
    engine="compose",
    name="demo",
    head_url="",
    servers=(
        ServerAddress("head", "head", "head", "", single="clients know it by a single address"),
        ServerAddress("tools", RESOURCES, "proxy", "", single="it is the proxy"),
        ServerAddress("tools-replica", "replica", "tools", "", replicas=4),
        ServerAddress("agent", "responses_api_agents", "simple_agent", ""),
    ),
)


def test_a_server_behind_a_proxy_is_scaled_by_its_own_name_too() -> None:
    assert services_to_scale(STATE, {"tools": 3, "agent": 2}) == {"tools-replica": 3, "agent": 2}
    assert services_to_scale(STATE, {"tools-replica": 3}) == {"tools-replica": 3}


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("agnet", 2, "no server 'agnet' here; did you mean 'agent'?"),
        ("xyz", 2, "no server 'xyz' here; available: tools-replica, agent"),
        ("agent", 0, "agent: 0 replicas are not possible; it must be a number from 1 to 100"),
        ("agent", 101, "agent: 101 replicas are not possible"),
        ("head", 2, "head can have only one replica; clients know it by a single address"),
    ],
)
def test_what_cannot_be(name: str, count: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        services_to_scale(STATE, {name: count})
    assert str(caught.value).startswith(message)


def status(*containers: tuple[str, str]) -> ServerStatus:
    """That of ``agent``, of which three are wanted."""
    replicas = [
        Container(str(number), "agent", *item, "2026-01-01T00:00:00Z") for number, item in enumerate(containers)
    ]
    return server_status(replace(STATE.servers[3], replicas=3), [*replicas, Container("x", "other", "exited", "", "")])


def test_a_server_is_well_when_as_many_as_wanted_are() -> None:
    well, starting, ended = ("running", "healthy"), ("running", "starting"), ("exited", "")
    assert (status(well, well, well).running, status(well, well, well).ok) == (3, True)
    assert (status(well, well).running, status(well, well).ok) == (2, False)
    assert (status(well, well, starting).running, status(well, well, starting).health) == (2, "starting")
    assert (status(well, ended, well).state, status(well, ended, well).ok) == ("exited", False)
    assert (status().state, status().running) == ("missing", 0)
