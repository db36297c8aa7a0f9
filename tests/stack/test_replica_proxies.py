"""Which servers may have replicas, and where a proxy must stand before them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from plan_strategies import AGENT, MODEL, RESOURCES, config, ref, server

from gymctl.config import Config, ServerInstance
from gymctl.errors import ConfigError
from gymctl.stack import ServicePlan, StackOptions, plan_stack
from gymctl.stack.render import compose_document


def gym(server: ServerInstance) -> ServerInstance:
    """One of NeMo Gym's."""
    return replace(server, runtime="nemo-gym", folder=None)


def stack(*, tools: dict[str, Any] | None = None, agent: dict[str, Any] | None = None) -> list[ServerInstance]:
    """A model, tools, an agent that calls both."""
    peers = {"resources_server": ref(RESOURCES, "tools"), "model_server": ref(MODEL, "policy")}
    return [
        server("policy", MODEL),
        server("tools", RESOURCES, tools),
        server("agent", AGENT, {**peers, **(agent or {})}),
    ]


def planned(servers: list[ServerInstance], **more: Any) -> dict[str, ServicePlan]:
    """The services by name."""
    plan = plan_stack(config(*servers, **more), name="demo", options=StackOptions(version="1.2.3"))
    return {service.name: service for service in plan.services}


def refusal(whole: Config) -> str:
    """What is said of a configuration that cannot be a stack."""
    with pytest.raises(ConfigError) as caught:
        plan_stack(whole, name="demo", options=StackOptions(version="1.2.3"))
    return str(caught.value)


def test_gymctls_own_servers_need_no_proxy() -> None:
    services = planned(stack(tools={"replicas": 4}, agent={"replicas": 2}))
    assert list(services) == ["head", "policy", "tools", "agent"]
    assert [service.replicas for service in services.values()] == [1, 1, 4, 2]
    assert [name for name, service in services.items() if service.single] == ["head"]


def test_a_server_of_nemo_gym_gets_a_proxy_that_has_its_name() -> None:
    policy, tools, agent = stack(tools={"replicas": 4})
    services = planned([policy, gym(tools), agent])
    assert list(services) == ["head", "policy", "tools", "tools-replica", "agent"]
    proxy, replicas = services["tools"], services["tools-replica"]
    assert (proxy.kind, proxy.implementation, proxy.replicas) == (RESOURCES, "proxy", 1)
    assert "replicas are tools-replica" in proxy.single
    assert (replicas.kind, replicas.replicas, replicas.config_path) == ("replica", 4, "tools")
    assert "host: tools\n" in services["agent"].slice_text  # callers see no difference
    haproxy = dict(proxy.environment)["GYMCTL_PROXY"]
    assert "use_backend sessions if { req.cook(gymctl-replica) -m found }" in haproxy
    assert "server-template replica 1-100 tools-replica:8080 resolvers docker" in haproxy


def test_a_server_that_nemo_gym_calls_gets_one_too() -> None:
    policy, tools, agent = stack(tools={"replicas": 4})
    assert "tools-replica" in planned([policy, tools, gym(agent)])


def test_an_agent_of_nemo_gym_keeps_nothing_and_needs_none() -> None:
    policy, tools, agent = stack(agent={"replicas": 3})
    services = planned([policy, tools, gym(agent)])
    assert services["agent"].replicas == 3
    assert "agent-replica" not in services


def test_models_are_preferred_where_they_were_and_agents_taken_as_they_come() -> None:
    policy, tools, agent = stack()
    caller = server("caller", AGENT, {"agent": ref(AGENT, "agent"), "model": ref(MODEL, "policy")})
    policy, agent = replace(policy, replicas=2), replace(agent, replicas=2)
    services = planned([policy, tools, agent, gym(caller)])
    model, called = (dict(services[name].environment)["GYMCTL_PROXY"] for name in ("policy", "agent"))
    assert "cookie gymctl-replica insert dynamic" in model
    assert "backend sessions" not in model
    assert "cookie" not in called


def test_one_of_nemo_gym_cannot_be_scaled_without_its_proxy() -> None:
    policy, tools, agent = stack()
    services = planned([policy, gym(tools), agent])
    assert "`replicas: 2` (or more)" in services["tools"].single
    assert not services["agent"].single


def test_the_proxy_is_hardened_and_asks_for_nothing_that_starts_python() -> None:
    policy, tools, agent = stack(tools={"replicas": 4})
    whole = config(policy, gym(tools), agent)
    plan = plan_stack(whole, name="demo", options=StackOptions(version="1.2.3"))
    proxy = compose_document(plan).services["tools"]
    assert (proxy.read_only, proxy.cap_drop, proxy.init) == (True, ["ALL"], True)
    assert proxy.healthcheck is not None
    assert "8404" in str(proxy.healthcheck.test)
    assert [image.tag for image in plan.images if image.dockerfile] == ["gymctl-proxy:1.2.3"]
    assert any("a proxy is added in front of tools" in note for note in plan.notes)


def test_a_proxy_does_not_share_a_port_with_its_health_check() -> None:
    message = refusal(config(gym(server("tools", RESOURCES, {"replicas": 2, "port": 8404}))))
    assert "port 8404 is used by its proxy's health check; choose another port" in message


@pytest.mark.parametrize("name", ["t" * 60, "t/ools", "policy"])
def test_a_proxy_and_its_replicas_have_valid_names_of_their_own(name: str) -> None:
    services = planned([gym(server(name, RESOURCES, {"replicas": 2})), server("policy-replica", MODEL)])
    _, proxy, replicas, other = services.values()
    assert len(services) == 4
    assert replicas.name == f"{proxy.name}-replica"
    assert len(f"demo_{replicas.name}") <= 63
    assert (proxy.title, replicas.title, other.title) == (name, f"{name}-replica", "policy-replica")
    assert f"{replicas.name}:8080" in dict(proxy.environment)["GYMCTL_PROXY"]
