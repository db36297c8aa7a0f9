"""The proxy of an ``edge``: one port with TLS and a token in front of the head and of servers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from plan_strategies import AGENT, MODEL, RESOURCES, config, ref, server
from pydantic import ValidationError

from gymctl.config import Config
from gymctl.config.blocks.edge import EdgeKeys
from gymctl.config.blocks.placement import Placements
from gymctl.errors import ConfigError
from gymctl.stack import StackOptions, StackPlan, plan_stack, render_stack
from gymctl.stack.addons.tls_edge import EdgeIdentity
from gymctl.stack.render import compose_document
from gymctl.stack.service import ServicePlan
from gymctl.stack.swarm import render_swarm

IDENTITY = EdgeIdentity(token="the-token", certificate="the-certificate", token_file="TOKEN", ca_file="CA")


def stack(**keys: Any) -> Config:
    peers = {"resources_server": ref(RESOURCES, "tools"), "model_server": ref(MODEL, "policy")}
    whole = config(server("policy", MODEL), server("tools", RESOURCES, {"replicas": 3}), server("one", AGENT, peers))
    return replace(whole, edge=EdgeKeys.model_validate(keys))


def planned(whole: Config, identity: EdgeIdentity = IDENTITY) -> StackPlan:
    return plan_stack(whole, name="demo", options=StackOptions(version="1", edge=identity))


def edge(plan: StackPlan) -> ServicePlan:
    return next(service for service in plan.services if service.kind == "edge")


def proxy(plan: StackPlan) -> str:
    """HAProxy's configuration."""
    return dict(edge(plan).environment)["GYMCTL_PROXY"]


def test_one_port_is_published_and_secrets_are_files() -> None:
    plan = planned(stack(port=443, address="10.0.0.5"))
    assert edge(plan).published == (("10.0.0.5", 443, 8443),)
    assert plan.services[0].published == (("127.0.0.1", 11000, 11000),)
    assert edge(plan).secrets == ("GYMCTL_EDGE_TOKEN", "GYMCTL_EDGE_CERTIFICATE")
    text = render_stack(plan)
    assert "the-token" not in text
    assert "the-certificate" not in text
    assert "  # edge/proxy; published on 10.0.0.5:443\n" in text
    assert plan.secrets["GYMCTL_EDGE_TOKEN"] == "the-token"
    assert "the-token" not in repr(plan)
    others = [service for service in yaml.safe_load(text)["services"].values() if "ports" not in service]
    assert others
    assert not any("GYMCTL_EDGE_TOKEN" in service.get("secrets", ()) for service in others)


def test_the_head_and_all_agents_are_behind_it() -> None:
    plan = planned(stack())
    text = proxy(plan)
    assert "default_backend replicas-head" in text
    assert "{ path_reg '^/servers/one(/|$)' }" in text
    assert "policy" not in text
    networks = compose_document(plan).services["gymctl-edge"].networks or {}
    assert not any("policy" in name for name in networks), networks


def test_servers_are_those_that_are_named_and_each_has_a_cookie_of_its_own() -> None:
    text = proxy(planned(stack(servers=["tools", "policy"])))
    assert "^/servers/one" not in text
    assert "use_backend sessions-2 if { var(txn.target) -m int 2 } { req.cook(gymctl-edge-2) -m found }" in text
    assert "cookie gymctl-edge-1 insert" in text
    assert "cookie gymctl-edge-2 insert" in text


def test_names_of_servers_are_quoted_in_paths() -> None:
    whole = replace(config(server("my.agent (1)", AGENT)), edge=EdgeKeys())
    assert r"^/servers/my\.agent%20%281%29(/|$)" in proxy(planned(whole))


def test_a_wrong_server_is_named() -> None:
    with pytest.raises(ConfigError, match=r"edge\.servers: towls: the configuration has no such server; .*tools"):
        planned(stack(servers=["towls"]))


def test_a_port_that_another_service_publishes_is_refused() -> None:
    with pytest.raises(ConfigError, match="port 11000 on this machine is already published by head"):
        render_stack(planned(stack(port=11000)))


def test_the_limit_and_the_protocols_are_the_proxy_s() -> None:
    text = proxy(planned(stack(rate_limit=7)))
    assert "if { sc0_gpc0_rate ge 7 }" in text
    assert "ssl-min-ver TLSv1.2" in text
    assert "CBC" not in text


def test_notes_name_the_files_and_not_the_token() -> None:
    notes = planned(stack(names=["gym.example.com"], address="0.0.0.0")).notes
    call = (
        'edge: curl --cacert CA -H "Authorization: Bearer $(cat TOKEN)" https://gym.example.com:8443/server_instances'
    )
    assert call in notes
    assert "edge: one is at https://gym.example.com:8443/servers/one" in notes
    own = planned(stack(address="10.0.0.5"), replace(IDENTITY, ca_file="")).notes
    assert any("curl -H" in note and "https://10.0.0.5:8443/" in note for note in own)
    assert not any("the-token" in note for note in notes)


def test_a_host_for_clients_needs_no_other_publication() -> None:
    whole = replace(stack(), values={"default_host": "gym.example.com"})
    assert any("--publish" in note for note in planned(replace(whole, edge=None)).notes)
    assert not any("--publish" in note for note in planned(whole).notes)


def test_clients_elsewhere_are_refused_before_the_token_is_looked_at() -> None:
    text = proxy(planned(stack(clients=["10.0.0.0/8", "192.0.2.7"])))
    assert text.index("unless { src 10.0.0.0/8 192.0.2.7/32 }") < text.index("return status 401")
    assert "edge.clients" not in proxy(planned(stack()))
    with pytest.raises(ValidationError, match=r"10\.0\.0\.1/8 has host bits set"):
        EdgeKeys.model_validate({"clients": ["10.0.0.1/8"]})


def swarm_file(whole: Config) -> Any:
    plan = plan_stack(whole, name="demo", options=StackOptions(version="1", edge=IDENTITY, is_swarm=True))
    text = render_swarm(plan).text
    assert "the-token" not in text
    assert "the-certificate" not in text
    return yaml.safe_load(text)


def test_on_a_swarm_it_has_one_port_of_its_node_and_secrets_with_names_of_their_own() -> None:
    document = swarm_file(stack(port=443, address="0.0.0.0"))
    published = {name: service["ports"] for name, service in document["services"].items() if "ports" in service}
    assert published == {"gymctl-edge": [{"target": 8443, "published": 443, "mode": "host"}]}
    sources = {
        item if isinstance(item, str) else item["source"] for item in document["services"]["gymctl-edge"]["secrets"]
    }
    assert sources == {"GYMCTL_EDGE_TOKEN", "GYMCTL_EDGE_CERTIFICATE"}
    for name in sources:
        assert document["secrets"][name]["name"].startswith(f"demo_{name}_")
    assert document["services"]["gymctl-edge"]["deploy"]["update_config"]["order"] == "stop-first"


def test_on_a_swarm_all_traffic_between_nodes_is_encrypted() -> None:
    networks = swarm_file(stack(address="0.0.0.0"))["networks"]
    assert len(networks) > 1
    assert all(network["driver_opts"] == {"encrypted": ""} for network in networks.values())
    without = swarm_file(replace(stack(), edge=None))["networks"]
    assert not any("driver_opts" in network for network in without.values())


def test_it_runs_on_the_node_of_the_head() -> None:
    placements = Placements.model_validate({"head": {"host": "n1"}, "addons": {"host": "n2"}})
    services = swarm_file(replace(stack(address="0.0.0.0"), placements=placements))["services"]
    constraints = {name: services[name]["deploy"]["placement"]["constraints"] for name in ("head", "gymctl-edge")}
    assert constraints == {"head": ["node.hostname==n1"], "gymctl-edge": ["node.hostname==n1"]}
