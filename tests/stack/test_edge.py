"""The proxy that publishes servers for clients outside of the stack."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any

import pytest
import yaml
from plan_strategies import AGENT, MODEL, RESOURCES, config, ref, server

from gymctl.config import Config
from gymctl.config.exposure import Exposure
from gymctl.errors import ConfigError
from gymctl.stack import StackOptions, StackPlan, plan_stack
from gymctl.stack.render import compose_document


def stack(**fields: dict[str, Any]) -> Config:
    """A model, tools, two agents that call both; ``fields`` of each by name."""
    peers = {"resources_server": ref(RESOURCES, "tools"), "model_server": ref(MODEL, "policy")}
    return config(
        server("policy", MODEL, fields.get("policy")),
        server("tools", RESOURCES, fields.get("tools")),
        server("one", AGENT, {**peers, **fields.get("one", {})}),
        server("two", AGENT, {**peers, **fields.get("two", {})}),
    )


def planned(whole: Config, *names: str, host: str = "127.0.0.1", **more: Any) -> StackPlan:
    exposure = Exposure(names, clients=more.get("clients", ()), host=more.get("host_of_clients", ""))
    return plan_stack(whole, name="demo", options=StackOptions(version="1", exposure=exposure, publish_host=host))


def proxy(plan: StackPlan) -> str:
    """HAProxy's configuration of the edge."""
    edge = next(service for service in plan.services if service.name == "gymctl-edge")
    return dict(edge.environment)["GYMCTL_PROXY"]


def head(plan: StackPlan) -> dict[str, Any]:
    return dict(yaml.safe_load(plan.services[0].slice_text))


def test_a_stack_without_exposed_servers_has_no_edge() -> None:
    plan = planned(stack())
    assert [service.name for service in plan.services] == ["head", "policy", "tools", "one", "two"]
    assert "gymctl_outside" not in head(plan)["head_server"]


def test_each_exposed_server_has_a_port_of_its_own() -> None:
    plan = planned(stack(two={"port": 9000}), "one", "two", "tools")
    edge = plan.services[-1]
    assert edge.published == (
        ("127.0.0.1", 8081, 8081),
        ("127.0.0.1", 9000, 9000),
        ("127.0.0.1", 8080, 8080),
    )
    assert list(edge.publications) == [
        ("127.0.0.1", 8081, "one"),
        ("127.0.0.1", 9000, "two"),
        ("127.0.0.1", 8080, "tools"),
    ]
    assert head(plan)["head_server"]["gymctl_outside"] == {
        "ports": {"one": 8081, "two": 9000, "tools": 8080},
        "host": "",
        "inside": "head",
    }
    assert compose_document(plan).services["gymctl-edge"].cap_drop == ["ALL"]
    assert edge.single == "it publishes ports on this machine, which only one container can use"


def test_ports_do_not_depend_on_what_is_exposed() -> None:
    assert planned(stack(), "two").services[-1].published == planned(stack(), "one", "two").services[-1].published[1:]


def test_sessions_of_an_environment_stay_and_agents_are_taken_as_they_come() -> None:
    text = proxy(planned(stack(tools={"replicas": 3}), "one", "tools", "policy"))
    assert "server-template replica 1-100 tools:8080 resolvers docker" in text
    assert "use_backend sessions-2 if { req.cook(gymctl-edge) -m found }" in text
    assert text.count("backend sessions-") == 2  # the rule, and the backend itself
    assert text.count("monitor fail if") == 3


def test_only_the_clients_of_the_list_are_accepted() -> None:
    clients = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert "unless { src 10.0.0.0/8 fd00::/8 }" in proxy(planned(stack(), "one", host="0.0.0.0", clients=clients))
    assert "{ src " not in proxy(planned(stack(), "one"))


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("10.0.0.5:8081", True),
        ("[fd00::1]:8081", True),
        ("localhost:8081", True),
        ("gym.localhost", True),
        ("trainer-host:8081", True),
        ("host.docker.internal:8081", True),
        ("gym.example.com:8081", True),
        ("outside.example.com", True),
        ("gymxexample.com", False),
        ("evil.example.org:8081", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_names_that_a_page_of_another_site_may_have_are_not_known(host: str, is_known: bool) -> None:
    whole = config(server("one", AGENT), values={"allowed_hosts": ["gym.example.com"]})
    text = proxy(planned(whole, "one", host="0.0.0.0", host_of_clients="outside.example.com"))
    pattern = re.search(r"-m reg -i '(.*)'", text)
    assert pattern
    assert bool(re.fullmatch(pattern[1], host, re.IGNORECASE)) is is_known


def test_the_port_of_its_health_check_is_refused() -> None:
    with pytest.raises(ConfigError, match="two: port 8404 is used by the edge's health check; choose another port"):
        planned(stack(two={"port": 8404}), "two")
    planned(stack(two={"port": 8404}), "one")


def test_notes_name_the_places_and_who_may_call() -> None:
    private = planned(stack(), "one").notes
    assert "one is exposed at http://127.0.0.1:8081" in private
    assert "every user of this machine can call one: calls need no token" in private
    opened = planned(stack(), "one", host="0.0.0.0", clients=(ip_network("10.0.0.0/8"),)).notes
    assert "one is exposed on port 8081 of every interface" in opened
    assert "exposed servers accept calls from 10.0.0.0/8 only; calls need no token" in opened


def test_an_advertised_name_is_one_by_which_the_head_may_be_called() -> None:
    plan = planned(stack(), "one", host="0.0.0.0", host_of_clients="outside.example.com")
    assert head(plan)["allowed_hosts"] == ["outside.example.com"]
    assert head(plan)["head_server"]["gymctl_outside"]["host"] == "outside.example.com"
