"""Who shares a network with whom, and who has a way out of the stack."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from plan_strategies import AGENT, MODEL, RESOURCES, config, server

from gymctl.config import ServerInstance
from gymctl.config.blocks.container_settings import ContainerSettings
from gymctl.config.exposure import Exposure
from gymctl.stack import StackOptions, plan_stack, render_stack
from gymctl.stack.networks.graph import groups, separate_groups
from gymctl.stack.networks.membership import MOST_NETWORKS
from gymctl.stack.slices.host_gateway import called_hosts
from gymctl.stack.swarm import render_swarm

pytestmark = pytest.mark.unit

EGRESS = "stack-egress"


def networks(*servers: ServerInstance) -> tuple[dict[str, set[str]], dict[str, Any]]:
    """The networks of each service, and their definitions."""
    document = yaml.safe_load(render_stack(plan_stack(config(*servers), name="demo", options=StackOptions("1"))))
    joined = {name: set(item.get("networks") or ["default"]) for name, item in document["services"].items()}
    return joined, document["networks"]


def ref(kind: Any, name: str) -> dict[str, str]:
    return {"type": kind.value, "name": name}


def stack(**environment: Any) -> tuple[ServerInstance, ...]:
    agent = {"resources_server": ref(RESOURCES, "env"), "model_server": ref(MODEL, "policy")}
    return (
        server("env", RESOURCES, environment),
        server("policy", MODEL, {"base_url": "https://api.test/v1"}),
        server("agent", AGENT, agent),
    )


def pairs(joined: Mapping[str, Collection[str]]) -> set[frozenset[str]]:
    """Who shares a network with whom."""
    return {frozenset((a, b)) for a, b in combinations(joined, 2) if set(joined[a]) & set(joined[b])}


def calls(*names: str) -> set[frozenset[str]]:
    """Pairs written as ``agent-policy``."""
    return {frozenset(name.split("-")) for name in names}


WITH_HEAD = calls("head-env", "head-policy", "head-agent")


def test_an_environment_has_no_way_out_and_no_network_with_the_model() -> None:
    joined, defined = networks(*stack())
    assert pairs(joined) == WITH_HEAD | calls("agent-env", "agent-policy")
    assert {name for name, item in defined.items() if not item.get("internal")} == {EGRESS}
    assert [name for name, names in joined.items() if EGRESS in names] == ["head", "policy"]


def test_an_environment_with_a_judge_shares_its_network() -> None:
    joined, defined = networks(*stack(judge_model_server=ref(MODEL, "policy")))
    assert pairs(joined) == WITH_HEAD | calls("agent-env", "agent-policy", "env-policy")
    assert len(defined) == 2


def test_an_address_that_names_a_server_is_a_call() -> None:
    joined, _ = networks(*stack(search="http://policy:8000/v1"))
    assert frozenset(("env", "policy")) in pairs(joined)


def test_servers_with_a_way_out_do_not_reach_each_other() -> None:
    policy = {"base_url": "https://api.test/v1"}
    joined, defined = networks(server("first", MODEL, policy), server("second", MODEL, policy))
    assert pairs(joined) == calls("head-first", "head-second")
    assert {EGRESS, f"{EGRESS}-2"} <= defined.keys()


def test_a_network_of_the_user_keeps_its_name() -> None:
    env, policy, agent = stack()
    env = replace(env, container=ContainerSettings.model_validate({"networks": ["env-agent"]}))
    joined, defined = networks(env, policy, agent)
    assert defined["env-agent"] == {"external": True}
    assert [name for name, names in joined.items() if "env-agent" in names] == ["env"]


def pairs_of_environments(count: int) -> tuple[ServerInstance, ...]:
    """Environments with an agent each, and a model server that every agent calls."""
    servers = [server("policy", MODEL, {"base_url": "https://api.test/v1"})]
    for number in range(count):
        references = {"resources_server": ref(RESOURCES, f"env{number}"), "model_server": ref(MODEL, "policy")}
        servers += [server(f"env{number}", RESOURCES), server(f"agent{number}", AGENT, references)]
    return tuple(servers)


@pytest.mark.parametrize(("count", "shared"), [(7, "nobody"), (8, "models"), (14, "models"), (15, "servers")])
def test_many_servers_have_a_bounded_number_of_networks(count: int, shared: str) -> None:
    joined, defined = networks(*pairs_of_environments(count))
    assert len(defined) <= MOST_NETWORKS
    assert (frozenset(("agent0", "agent1")) in pairs(joined)) is (shared != "nobody")
    assert (frozenset(("env0", "agent1")) in pairs(joined)) is (shared == "servers")
    assert frozenset(("env0", "policy")) not in pairs(joined)


def test_a_stack_that_has_shared_networks_has_a_note() -> None:
    plan = plan_stack(config(*pairs_of_environments(8)), name="demo", options=StackOptions("1"))
    assert any("each environment has one with its agents" in note for note in plan.notes)
    assert not plan_stack(config(*pairs_of_environments(7)), name="demo", options=StackOptions("1")).notes


def judged_environments(count: int) -> tuple[ServerInstance, ...]:
    """As ``pairs_of_environments``, and every second environment has a judge."""
    servers = list(pairs_of_environments(count))
    judge = {"judge_model_server": ref(MODEL, "judge")}
    for number in range(0, count, 2):
        servers.append(server(f"judged{number}", RESOURCES, judge))
        references = {"resources_server": ref(RESOURCES, f"judged{number}"), "model_server": ref(MODEL, "policy")}
        servers.append(server(f"critic{number}", AGENT, references))
    return (*servers, server("judge", MODEL, {"base_url": "https://api.test/v1"}))


def test_an_environment_with_a_judge_does_not_reach_the_policy_of_a_large_stack() -> None:
    joined, defined = networks(*judged_environments(8))
    assert len(defined) <= MOST_NETWORKS
    assert "stack-models" in defined
    together = pairs(joined)
    assert {frozenset((f"judged{number}", "judge")) for number in range(0, 8, 2)} <= together
    assert {frozenset((f"critic{number}", f"judged{number}")) for number in range(0, 8, 2)} <= together
    environments = [name for name in joined if name.startswith(("env", "judged"))]
    assert not {frozenset((name, "policy")) for name in environments} & together
    assert not {frozenset(pair) for pair in combinations(environments, 2)} & together


NAMES = "abcdefgh"


@given(st.sets(st.sampled_from(list(combinations(NAMES, 2)))))
def test_groups_have_every_call_and_no_other_pair(edges: set[tuple[str, str]]) -> None:
    graph: dict[str, set[str]] = {name: set() for name in NAMES}
    for first, second in edges:
        graph[first].add(second)
        graph[second].add(first)
    server_groups = groups(graph)
    assert {frozenset(pair) for group in server_groups for pair in combinations(group, 2)} == set(map(frozenset, edges))
    assert {name for group in server_groups for name in group} == set(NAMES)
    separate = separate_groups(NAMES, graph)
    assert sorted(name for group in separate for name in group) == list(NAMES)
    assert {frozenset(pair) for group in separate for pair in combinations(group, 2)} <= set(map(frozenset, edges))


@pytest.mark.parametrize("url", ["https://x.test/a", "http://localhost:80", "http://[::1]:80", "ws://10.0.0.1"])
def test_an_address_in_the_settings_is_a_way_out(url: str) -> None:
    assert EGRESS in networks(*stack(search=[{"place": url}]))[0]["env"]


@pytest.mark.parametrize("url", ["http://policy:8000/v1", "a text about https", "gpt:4", "file:///data"])
def test_an_address_of_the_stack_is_none(url: str) -> None:
    assert EGRESS not in networks(*stack(search=url))[0]["env"]


@pytest.mark.parametrize("egress", [True, False])
def test_a_server_says_it_itself(egress: bool) -> None:
    env, policy, agent = stack(search_url="https://x.test" if not egress else "none")
    env = replace(env, container=ContainerSettings(egress=egress))
    assert (EGRESS in networks(env, policy, agent)[0]["env"]) is egress


def test_a_list_of_hosts_is_a_proxy_on_a_network_of_two() -> None:
    env, policy, agent = stack(search_url="https://x.test")
    without, _ = networks(replace(env, container=ContainerSettings(egress=False)), policy, agent)
    joined, defined = networks(replace(env, container=ContainerSettings(egress=("x.test",))), policy, agent)
    assert pairs(joined) == pairs(without) | {frozenset(("env", "env-egress"))}
    assert joined["env"] == {*without["env"], "stack-hosts-env"}
    assert joined["env-egress"] == {"stack-hosts-env", f"{EGRESS}-proxies"}
    assert {name for name, item in defined.items() if not item.get("internal")} == {EGRESS, f"{EGRESS}-proxies"}


def test_proxies_have_networks_of_their_own_in_a_large_stack_too() -> None:
    servers = list(stack())
    for number in range(40):
        listed = server(f"env{number}", RESOURCES)
        agent = {"resources_server": ref(RESOURCES, f"env{number}"), "model_server": ref(MODEL, "policy")}
        servers += [listed, server(f"agent{number}", AGENT, agent)]
    servers[3] = replace(servers[3], container=ContainerSettings(egress=("x.test",)))
    servers[4] = replace(servers[4], replicas=3, container=ContainerSettings(egress=("y.test",)))
    joined, defined = networks(*servers)
    of_proxies = {pair for pair in pairs(joined) if any(name.endswith("-egress") for name in pair)}
    expected = {("env0", "env0-egress"), ("agent0", "agent0-egress"), ("env0-egress", "agent0-egress")}
    assert of_proxies == set(map(frozenset, expected))
    assert defined["stack-hosts-env0"]["internal"] and defined["stack-hosts-agent0"]["internal"]


def test_replicas_are_where_their_server_is() -> None:
    env, policy, agent = stack()
    joined, _ = networks(replace(env, replicas=3), policy, agent)
    assert pairs(joined) == WITH_HEAD | calls("agent-env", "agent-policy")


def test_the_edge_reaches_the_servers_that_it_exposes() -> None:
    options = StackOptions("1", exposure=Exposure(("agent",)))
    document = yaml.safe_load(render_stack(plan_stack(config(*stack()), name="demo", options=options)))
    joined = {name: set(item["networks"]) for name, item in document["services"].items()}
    edge = {pair for pair in pairs(joined) if "gymctl-edge" in pair}
    assert frozenset(("gymctl-edge", "agent")) in edge
    assert not {frozenset(("gymctl-edge", "env")), frozenset(("gymctl-edge", "policy"))} & edge
    assert any(name.startswith(EGRESS) for name in joined["gymctl-edge"])


def test_the_networks_of_a_swarm_are_internal_overlays_too() -> None:
    rendering = render_swarm(plan_stack(config(*stack()), name="demo", options=StackOptions("1")))
    defined = yaml.safe_load(rendering.text)["networks"]
    assert [name for name, item in defined.items() if not item.get("internal")] == [EGRESS]
    assert all(item["driver"] == "overlay" and item["attachable"] for item in defined.values())
    assert all("driver_opts" not in item for item in defined.values())


@pytest.mark.parametrize(
    ("key", "text", "hosts"),
    [
        ("db_host", "DB", ["db"]),
        ("db_host", "db.test:5432", ["db.test"]),
        ("note", "db:5432", []),
        ("note", "db.test:5432", ["db.test"]),
        ("allowed_origins", "https://a.test", []),
        ("urls", "http://a.test,http://u:p@b.test/x", ["a.test", "b.test"]),
    ],
)
def test_the_hosts_of_a_text(key: str, text: str, hosts: list[str]) -> None:
    assert list(dict.fromkeys(called_hosts(key, text))) == hosts
